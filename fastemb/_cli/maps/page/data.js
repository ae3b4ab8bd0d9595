// The data of the page, out of the bytes that it carries (map_page.py says how they lie).

const ARRAYS = {
  float32: Float32Array,
  float64: Float64Array,
  int16: Int16Array,
  int32: Int32Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
};

/** Read the data that an element holds; the element, no longer needed, gives its memory back. */
async function readData(element) {
  if (typeof DecompressionStream === "undefined") {
    throw new Error("This browser is too old for this page: it needs one of 2023 or later.");
  }
  const packed = fromBase64(element.textContent);
  element.textContent = "";
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const buffer = await new Response(stream).arrayBuffer();
  const size = new DataView(buffer).getUint32(0, true);
  const data = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, size)));
  for (const [name, { type, start, shape }] of Object.entries(data.arrays)) {
    const count = shape.reduce((product, length) => product * length, 1);
    data.arrays[name] = new ARRAYS[type](buffer, 4 + size + start, count);
  }
  return new Data(data);
}

function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = characters.charCodeAt(i);
  return bytes;
}

/** The texts, where they stand on the map and in their files, and what is known of each. */
class Data {
  constructor({ texts, method, shares, files, colors, arrays }) {
    Object.assign(this, { texts, method, shares, files, colors });
    this.count = texts.length;
    this.place = arrays.place; // x0, y0, x1, y1 ...
    this.line = arrays.step; // from the line of the text before, as that packs to nothing
    for (let i = 1; i < this.count; i++) this.line[i] += this.line[i - 1];
    this.length = arrays.length;
    this.file = arrays.file;
    this.neighbor = arrays.neighbor; // those of text i begin at i * neighbors
    this.similarity = arrays.similarity; // the same way, in ten-thousandths
    this.neighbors = arrays.neighbor ? arrays.neighbor.length / this.count : 0;
    colors.forEach((color, number) => (color.values = arrays[`color${number}`]));
  }

  /** Where a text stands in its file. */
  source(i) {
    return `${this.files[this.file ? this.file[i] : 0]}:${this.line[i]}`;
  }

  /** What there is beside a text: the values of its fields, and whether the page has all of it. */
  remarks(i) {
    const said = this.colors.map(({ name, labels, values }) => {
      if (labels) return `${name}: ${labels[values[i]]}`;
      return `${name}: ${Number.isNaN(values[i]) ? "(none)" : values[i]}`;
    });
    const cut = this.cut(i);
    return cut ? [...said, cut] : said;
  }

  cut(i) {
    const shown = [...this.texts[i]].length; // characters, as Python counts them
    return shown < this.length[i] ? `cut: the first ${shown} of ${counted(this.length[i])} characters` : "";
  }

  /** The nearest texts of one, and their cosine with it. */
  near(i) {
    const from = i * this.neighbors;
    return Array.from({ length: this.neighbors }, (_, k) => ({
      i: this.neighbor[from + k],
      cosine: this.similarity[from + k] / 1e4,
    }));
  }
}

/** How many, in figures: 2,026. */
const counted = (count) => count.toLocaleString("en");

/** A value of a field, in figures: 2026, which may be a year, and 20,260. */
const figures = (value) => value.toLocaleString("en", { useGrouping: "min2", maximumSignificantDigits: 6 });

/** A text as it is searched: without case and accents. */
function folded(text) {
  if (!/[^\x00-\x7f]/.test(text)) return text.toLowerCase();
  return text.normalize("NFKD").replace(/\p{M}+/gu, "").toUpperCase().toLowerCase().replaceAll("ς", "σ");
}

/** Find the texts that hold all words of a query; their folded forms are kept from the first search on. */
class Index {
  constructor(texts) {
    this.texts = texts;
    this.folded = null;
  }

  /** The numbers of these texts, in the order of the files; null for a query without a word. */
  find(query) {
    const words = folded(query).split(/\s+/).filter(Boolean);
    if (!words.length) return null;
    this.folded ??= this.texts.map(folded);
    const found = [];
    this.folded.forEach((text, i) => words.every((word) => text.includes(word)) && found.push(i));
    return found;
  }
}

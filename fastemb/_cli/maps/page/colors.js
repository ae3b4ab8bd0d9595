// Colours that those who do not see all colours tell apart, and which points are shown.

// Okabe and Ito's, without the yellow, which is lost on white; lighter on a dark ground.
const KINDS = {
  light: ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#222222"],
  dark: ["#2f97dd", "#ee7733", "#00b98a", "#dd9cc2", "#f0b030", "#86ccf5", "#f2f2f2"],
};
const OTHER = { light: "#a3a8ae", dark: "#6d747c" };
// Viridis, without the end that is lost on the ground.
const SCALE = {
  light: ["#440154", "#482878", "#3e4a89", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6dcd59", "#9bd93c"],
  dark: ["#414487", "#355f8d", "#2a788e", "#21918c", "#22a884", "#44bf70", "#7ad151", "#bddf26", "#fde725"],
};
const SHAPES = ["circle", "diamond", "triangle"]; // of the first seven kinds, the next seven, and the last
const COLORED = KINDS.light.length * SHAPES.length; // kinds with a look of their own; more are grey

const darkGround = matchMedia("(prefers-color-scheme: dark)");
const ground = () => (darkGround.matches ? "dark" : "light");
const channels = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

/** How points look, and which are shown, by the field that was chosen. */
class Colors {
  constructor(data) {
    this.data = data;
    this.looks = new Uint8Array(4 * data.count); // red, green, blue, shape
    this.shown = new Uint8Array(data.count);
    this.choose(0);
  }

  /** Colour by the field of this number, if there is one; all points are shown. */
  choose(way) {
    const field = this.data.colors[way];
    this.way = way;
    this.labels = field?.labels ?? null;
    this.values = field?.values ?? null;
    this.logarithmic = Boolean(field?.logarithmic);
    this.onScale = this.logarithmic ? Math.log10 : (value) => value;
    this.range = field && !field.labels ? rangeOf(field.values) : null;
    this.groups = this.labels ? this.groupsOf(field) : [];
    this.update();
  }

  /** Write the looks and what is shown anew. */
  update() {
    const { looks, shown } = this;
    const groups = this.groups.map((_, group) => this.look(group));
    const plain = [...channels(KINDS[ground()][0]), 0];
    const missing = [...channels(OTHER[ground()]), 0];
    const scale = SCALE[ground()].map(channels);
    for (let i = 0; i < shown.length; i++) {
      let look = plain;
      if (this.labels) {
        const group = this.group(i);
        look = groups[group];
        shown[i] = this.groups[group].on ? 1 : 0;
      } else {
        if (this.range) look = this.mixed(scale, this.values[i]) ?? missing;
        shown[i] = 1;
      }
      looks.set(look, 4 * i);
    }
  }

  /** The group of a point: its kind, or the last one for all kinds that have no look of their own. */
  group(i) {
    return Math.min(this.values[i], COLORED);
  }

  groupsOf({ labels, values }) {
    const groups = labels.slice(0, COLORED).map((label) => ({ label, count: 0, on: true }));
    if (labels.length > COLORED) {
      groups.push({ label: `${counted(labels.length - COLORED)} others`, count: 0, on: true });
    }
    values.forEach((value) => groups[Math.min(value, COLORED)].count++);
    return groups;
  }

  /** Red, green, blue and shape of a group. */
  look(group) {
    if (group === COLORED) return [...channels(OTHER[ground()]), 0];
    const colors = KINDS[ground()];
    return [...channels(colors[group % colors.length]), Math.floor(group / colors.length)];
  }

  mixed(scale, value) {
    if (Number.isNaN(value)) return null;
    const [low, high] = this.range.map(this.onScale);
    const at = high > low ? ((this.onScale(value) - low) / (high - low)) * (scale.length - 1) : 0;
    const from = Math.min(Math.floor(at), scale.length - 2);
    const share = at - from;
    return [...scale[from].map((channel, c) => channel + share * (scale[from + 1][c] - channel)), 0];
  }
}

/** The least and the greatest number; without spread, which an array of a million arguments would not survive. */
function rangeOf(values) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

// What stands beside the map: the legend, what was found, the chosen text; and the text under the pointer.
//
// Texts come from files of anybody. They are put in as text alone, never as HTML.

const LISTED = 50; // texts of those found that are listed
const SNIPPET = 90; // characters of a text in a list

function make(tag, { className = "", ...properties } = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

/** A text of a file, in an element of its own: it may be written from right to left. */
const textOf = (text, className = "text") => make("div", { className, dir: "auto" }, text || "(an empty text)");

/** A button that fills a row of a list. */
function rowOf(onclick, label, number, sign = "") {
  return make(
    "button",
    { type: "button", className: "row", onclick, title: label },
    sign,
    make("span", { className: "label", dir: "auto" }, label),
    make("span", { className: "number" }, number),
  );
}

const listOf = (rows) => make("ol", {}, ...rows.map((row) => make("li", {}, row)));
const small = (label, onclick, title) => make("button", { type: "button", className: "small", onclick, title }, label);

function snippet(text) {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length > SNIPPET ? `${line.slice(0, SNIPPET)} …` : line || "(an empty text)";
}

/** The picture of a look in the legend. */
function swatch([red, green, blue, shape]) {
  const create = (tag, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };
  const svg = create("svg", { width: 14, height: 14, viewBox: "-7 -7 14 14", "aria-hidden": "true" });
  svg.append(create("path", { d: outline(SHAPES[shape], 6), fill: `rgb(${red} ${green} ${blue})` }));
  return svg;
}

/** The colours and what they mean; `changed` is called when others are chosen, or kinds switched on or off. */
function showLegend(section, data, colors, changed) {
  const again = () => {
    colors.update();
    showLegend(section, data, colors, changed);
    changed();
  };
  const field = data.colors[colors.way];
  if (!field) {
    section.replaceChildren();
    return;
  }
  const focused = [...section.querySelectorAll("button, select")].indexOf(document.activeElement);
  section.replaceChildren(heading(data, colors, again));
  if (colors.range) section.append(...scaleOf(colors));
  else section.append(...groupsOf(colors, again));
  if (focused >= 0) section.querySelectorAll("button, select")[focused]?.focus(); // what was there is another now
}

/** The name of the field, or a choice where there are several. */
function heading(data, colors, again) {
  if (data.colors.length === 1) return make("h2", { dir: "auto" }, data.colors[0].name);
  const options = data.colors.map(({ name }, way) =>
    make("option", { value: way, selected: way === colors.way }, name),
  );
  const onchange = (event) => {
    colors.choose(Number(event.target.value));
    again();
  };
  return make("select", { onchange, ariaLabel: "Colour by" }, ...options);
}

function scaleOf(colors) {
  const bar = make("div", { className: "scale" });
  bar.style.background = `linear-gradient(to right, ${SCALE[ground()].join(", ")})`;
  const ends = make("div", { className: "ends" }, ...colors.range.map((value) => make("span", {}, figures(value))));
  if (colors.logarithmic) ends.insertBefore(make("span", { className: "quiet" }, "logarithmic"), ends.lastChild);
  return [bar, ends];
}

function groupsOf(colors, again) {
  const switchTo = (on) => {
    colors.groups.forEach((group, at) => (group.on = on(group, at)));
    again();
  };
  const rows = colors.groups.map((group, at) => {
    const alone = (other, place) => place === at;
    const switched = (other, place) => other.on !== (place === at);
    const onclick = (event) => switchTo(event.shiftKey ? alone : switched);
    const row = rowOf(onclick, group.label, counted(group.count), swatch(colors.look(at)));
    row.ariaPressed = String(group.on);
    row.title = `${group.label}: click to switch off or on, with Shift to see it alone`;
    return row;
  });
  const all = small("All", () => switchTo(() => true), "Show all");
  const none = small("None", () => switchTo(() => false), "Show none");
  return [listOf(rows), all, none];
}

/** The texts that were found, the first of them; a list that can be read without the map. */
function showFound(section, data, found, choose) {
  if (!found?.length) {
    section.replaceChildren();
    return;
  }
  const more = found.length > LISTED ? `, the first ${LISTED}` : "";
  const rows = found.slice(0, LISTED).map((i) => rowOf(() => choose(i), snippet(data.texts[i]), ""));
  section.replaceChildren(make("h2", {}, `Found${more}`), listOf(rows));
}

/** The chosen text with all that is known of it, and its nearest ones. */
function showChosen(section, data, i, choose, release) {
  if (i < 0) {
    section.replaceChildren();
    return;
  }
  const focused = section.contains(document.activeElement); // on the button that is replaced
  section.replaceChildren(
    make("h2", {}, "Chosen"),
    textOf(data.texts[i]),
    ...[data.source(i), ...data.remarks(i)].map((said) => textOf(said, "quiet")),
    ...nearest(data, i, choose),
    small("Let go", release, "Choose no text ( Esc )"),
  );
  if (focused) section.querySelector("button").focus();
}

function nearest(data, i, choose) {
  if (!data.neighbors) return [];
  const rows = data.near(i).map((near) => {
    const row = rowOf(() => choose(near.i), snippet(data.texts[near.i]), near.cosine.toFixed(2));
    row.title = `cosine ${near.cosine.toFixed(4)}, among all dimensions`;
    return row;
  });
  return [make("h2", {}, "Nearest, by all dimensions"), listOf(rows)];
}

/** Show the text of a point beside the pointer, inside of the stage. */
function showTip(tip, data, i, px, py) {
  tip.hidden = i < 0;
  if (i < 0) return;
  if (tip.dataset.point !== String(i)) {
    tip.dataset.point = i;
    const said = [data.source(i), ...data.remarks(i)].map((words) => textOf(words, "quiet"));
    tip.replaceChildren(textOf(data.texts[i]), ...said);
  }
  const stage = tip.parentElement;
  const left = px + 16 + tip.offsetWidth > stage.clientWidth ? px - 16 - tip.offsetWidth : px + 16;
  const top = Math.min(py + 16, stage.clientHeight - tip.offsetHeight - 8);
  tip.style.transform = `translate(${Math.max(4, left)}px, ${Math.max(4, top)}px)`;
}

// The page put together: what is chosen, hovered and found, and the frame that shows it.

const WAIT = 60; // milliseconds after the last letter before a search begins
const PAGE = Object.fromEntries([...document.querySelectorAll("[id]")].map((element) => [element.id, element]));

class Page {
  constructor(data) {
    this.data = data;
    PAGE.subtitle.textContent = this.subtitle(); // first: it takes a line from the stage
    this.colors = new Colors(data);
    this.index = new Index(data.texts);
    this.view = new View(data.place);
    this.grid = new Grid(data.place, this.view.bounds);
    this.painter = makePainter(PAGE.points, data.place, () => this.refresh());
    this.marks = PAGE.marks.getContext("2d");
    this.states = new Uint8Array(data.count);
    this.found = null; // the texts that were found, in order
    this.chosen = this.hovered = -1;
    this.asked = 0; // the frame that is asked for
    this.listen();
    this.restyle();
    this.resize();
  }

  subtitle() {
    const { count, method, shares } = this.data;
    const said = [`${counted(count)} ${count === 1 ? "text" : "texts"}`, method];
    const percent = shares?.map((share) => `${(100 * share).toFixed(1)} %`);
    if (percent) said.push(`the axes hold ${percent.join(" and ")} of the variance`);
    return said.join(" · ");
  }

  listen() {
    const { view } = this;
    new ResizeObserver(() => this.resize()).observe(PAGE.stage);
    darkGround.addEventListener("change", () => this.restyle());
    listen(PAGE.points, view, {
      moved: () => this.draw(),
      hovered: (px, py) => this.hover(px, py),
      tapped: (px, py) => this.choose(this.under(px, py), false),
      stepped: (direction) => this.step(direction),
      released: () => this.choose(-1),
    });
    const zoom = (factor) => () => {
      view.zoomAt(view.width / 2, view.height / 2, factor);
      this.draw();
    };
    PAGE.closer.onclick = zoom(1.6);
    PAGE.farther.onclick = zoom(1 / 1.6);
    PAGE.whole.onclick = () => {
      view.showAll();
      this.draw();
    };
    this.listenToSearch();
  }

  listenToSearch() {
    let timer = 0;
    PAGE.query.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.search(PAGE.query.value), WAIT);
    });
    PAGE.search.addEventListener("submit", (event) => {
      event.preventDefault();
      this.chooseNextFound();
    });
    document.addEventListener("keydown", (event) => {
      if (event.key !== "/" || event.target === PAGE.query) return;
      event.preventDefault();
      PAGE.query.select();
    });
  }

  // ---------------------------------------------------------------- what is chosen, hovered and found

  search(query) {
    this.found = this.index.find(query);
    this.refresh();
  }

  chooseNextFound() {
    const seen = (this.found ?? []).filter((i) => this.colors.shown[i]);
    if (seen.length) this.choose(seen.find((i) => i > this.chosen) ?? seen[0]);
  }

  /** Choose a text, or none (-1); bring it into sight if it was not chosen on the map. */
  choose(i, reveal = true) {
    this.chosen = i;
    if (i >= 0 && reveal) this.view.reveal(...this.placeOf(i));
    showChosen(PAGE.chosen, this.data, i, (near) => this.choose(near), () => this.choose(-1));
    this.draw();
  }

  step(direction) {
    const { view, data, colors } = this;
    const reach = Math.max(view.width, view.height) / view.scale;
    const next =
      this.chosen < 0
        ? this.grid.nearest(view.x, view.y, reach, colors.shown)
        : nextPoint(data.place, colors.shown, this.chosen, direction);
    if (next >= 0) this.choose(next);
  }

  hover(px, py) {
    const i = px === null ? -1 : this.under(px, py);
    PAGE.points.classList.toggle("over", i >= 0);
    showTip(PAGE.tip, this.data, i, px, py);
    if (i === this.hovered) return;
    this.hovered = i;
    this.drawMarks();
  }

  /** The point under a place of the stage, -1 if there is none. */
  under(px, py) {
    return this.grid.nearest(...this.view.toMap(px, py), REACH / this.view.scale, this.colors.shown);
  }

  placeOf(i) {
    return this.data.place.subarray(2 * i, 2 * i + 2);
  }

  // ---------------------------------------------------------------- what is shown of it

  /** Colours are others: of the ground, or of the field. */
  restyle() {
    this.colors.update();
    showLegend(PAGE.legend, this.data, this.colors, () => this.refresh());
    this.refresh();
  }

  /** Which points are plain, faint and off is new. */
  refresh() {
    const { states, found, colors } = this;
    states.fill(found ? FAINT : PLAIN);
    found?.forEach((i) => (states[i] = PLAIN));
    colors.shown.forEach((shown, i) => shown || (states[i] = OFF));
    this.painter.set(colors.looks, states);
    const seen = found?.filter((i) => colors.shown[i]);
    if (this.chosen >= 0 && !colors.shown[this.chosen]) this.choose(-1);
    showFound(PAGE.found, this.data, seen, (i) => this.choose(i));
    PAGE.count.textContent = seen ? `${counted(seen.length)} ${seen.length === 1 ? "hit" : "hits"}` : "";
    this.draw();
  }

  resize() {
    const ratio = devicePixelRatio;
    const { clientWidth, clientHeight } = PAGE.stage;
    for (const canvas of [PAGE.points, PAGE.marks]) {
      canvas.width = Math.round(clientWidth * ratio);
      canvas.height = Math.round(clientHeight * ratio);
    }
    this.view.resize(clientWidth, clientHeight, ratio);
    this.frame(); // at once: a canvas of another size is empty
  }

  /** Ask for a frame; however often it is asked for, one is drawn. */
  draw() {
    this.asked ||= requestAnimationFrame(() => this.frame());
  }

  frame() {
    cancelAnimationFrame(this.asked);
    this.asked = 0;
    if (devicePixelRatio !== this.view.ratio) {
      this.resize(); // the window was moved to a finer screen; this draws
      return;
    }
    this.painter.draw(this.view, this.radius(), this.opacity());
    this.drawMarks();
  }

  radius() {
    const whole = Math.min(5, Math.max(1.7, 260 / Math.sqrt(this.data.count)));
    return Math.min(whole * Math.max(1, this.view.zoom) ** 0.3, 8);
  }

  /** Many points let one see through them, how dense they are; when they are few in sight, less so. */
  opacity() {
    const whole = 1.25 - 0.15 * Math.log10(Math.max(10, this.data.count));
    return Math.min(0.9, whole + 0.08 * Math.log2(Math.max(1, this.view.zoom)));
  }

  drawMarks() {
    const { marks, view } = this;
    const style = getComputedStyle(PAGE.stage);
    marks.setTransform(view.ratio, 0, 0, view.ratio, 0, 0);
    marks.clearRect(0, 0, view.width, view.height);
    marks.strokeStyle = style.getPropertyValue("--ink");
    if (this.chosen >= 0) {
      const [x, y] = view.toStage(...this.placeOf(this.chosen));
      marks.lineWidth = 1;
      for (const { i } of this.data.near(this.chosen)) {
        if (!this.colors.shown[i]) continue;
        const there = view.toStage(...this.placeOf(i));
        marks.stroke(new Path2D(`M${x} ${y}L${there[0]} ${there[1]}`));
        this.ring(...there, 3);
      }
      marks.lineWidth = 2.5;
      this.ring(x, y, 6);
    }
    if (this.hovered >= 0) {
      marks.lineWidth = 1.5;
      this.ring(...view.toStage(...this.placeOf(this.hovered)), 4);
    }
  }

  ring(x, y, beside) {
    this.marks.beginPath();
    this.marks.arc(x, y, this.radius() + beside, 0, 2 * Math.PI);
    this.marks.stroke();
  }
}

try {
  globalThis.fastemb = new Page(await readData(PAGE.data)); // for the console, and for tests
  PAGE.message.textContent = "";
} catch (error) {
  PAGE.message.textContent = error.message;
  throw error;
}

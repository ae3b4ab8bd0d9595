// Which part of the map is seen, how pointers and keys change it, and which point is under one.

const MARGIN = 0.06; // of the stage, free around the whole map
const CLOSEST = 4000; // times as large as the whole map
const REACH = 12; // pixels within which a point is under the pointer
const STEP = 60; // pixels of an arrow key
const TAP = 5; // pixels below which a movement is none

/** The part that is seen: its middle (x, y) and how many pixels one unit is. */
class View {
  constructor(place) {
    this.bounds = [rangeOf(place.filter((_, i) => i % 2 === 0)), rangeOf(place.filter((_, i) => i % 2 === 1))];
    Object.assign(this, { x: 0, y: 0, scale: 1, width: 1, height: 1, ratio: 1, untouched: true });
  }

  resize(width, height, ratio) {
    Object.assign(this, { width: Math.max(1, width), height: Math.max(1, height), ratio });
    if (this.untouched) this.showAll();
  }

  showAll() {
    const [[left, right], [bottom, top]] = this.bounds;
    const room = 1 - 2 * MARGIN;
    const scale = Math.min((room * this.width) / (right - left), (room * this.height) / (top - bottom));
    this.whole = Number.isFinite(scale) ? scale : 1; // of points that are all the same
    Object.assign(this, { x: (left + right) / 2, y: (bottom + top) / 2, scale: this.whole, untouched: true });
  }

  /** How much larger than the whole map. */
  get zoom() {
    return this.scale / this.whole;
  }

  /** Make all `factor` times as large; the place under (px, py) stays where it is. */
  zoomAt(px, py, factor) {
    const scale = Math.min(Math.max(this.scale * factor, this.whole / 2), this.whole * CLOSEST);
    const [x, y] = this.toMap(px, py);
    this.x = x - (px - this.width / 2) / scale;
    this.y = y + (py - this.height / 2) / scale;
    Object.assign(this, { scale, untouched: false });
  }

  pan(dx, dy) {
    this.x -= dx / this.scale;
    this.y += dy / this.scale;
    this.untouched = false;
  }

  /** Bring a place into sight, and do nothing if it is. */
  reveal(x, y) {
    const [px, py] = this.toStage(x, y);
    if (px >= 0 && py >= 0 && px <= this.width && py <= this.height) return;
    Object.assign(this, { x, y, untouched: false });
  }

  toMap(px, py) {
    return [this.x + (px - this.width / 2) / this.scale, this.y - (py - this.height / 2) / this.scale];
  }

  toStage(x, y) {
    return [(x - this.x) * this.scale + this.width / 2, (this.y - y) * this.scale + this.height / 2];
  }
}

/** The points sorted into square cells, so that those near a place are found without a look at all others. */
class Grid {
  constructor(place, [[left, right], [bottom, top]]) {
    const count = place.length / 2;
    this.place = place;
    this.side = Math.min(1024, Math.max(1, Math.ceil(Math.sqrt(count / 2))));
    this.origin = [left, bottom];
    this.cell = Math.max(right - left, top - bottom) / this.side || 1;
    this.starts = new Uint32Array(this.side * this.side + 1);
    this.points = new Uint32Array(count);
    const cells = Uint32Array.from(this.points, (_, i) => this.cellOf(place[2 * i], place[2 * i + 1]));
    for (const cell of cells) this.starts[cell + 1]++;
    for (let i = 1; i < this.starts.length; i++) this.starts[i] += this.starts[i - 1];
    const next = this.starts.slice();
    cells.forEach((cell, i) => (this.points[next[cell]++] = i));
  }

  cellOf(x, y) {
    return this.index(y, 1) * this.side + this.index(x, 0);
  }

  index(value, axis) {
    return Math.min(this.side - 1, Math.max(0, Math.floor((value - this.origin[axis]) / this.cell)));
  }

  /** The nearest point that `shown` allows, at most `reach` away; -1 if there is none. */
  nearest(x, y, reach, shown) {
    const { place, side, starts, points } = this;
    let best = -1;
    let least = reach * reach;
    for (let row = this.index(y - reach, 1); row <= this.index(y + reach, 1); row++) {
      const from = starts[row * side + this.index(x - reach, 0)];
      const to = starts[row * side + this.index(x + reach, 0) + 1];
      for (let k = from; k < to; k++) {
        const i = points[k];
        const distance = (place[2 * i] - x) ** 2 + (place[2 * i + 1] - y) ** 2;
        if (shown[i] && distance <= least) [best, least] = [i, distance];
      }
    }
    return best;
  }
}

/** The next point from a place in a direction, no more than 45 degrees beside it; -1 if there is none. */
function nextPoint(place, shown, from, [dx, dy]) {
  const [x, y] = [place[2 * from], place[2 * from + 1]];
  let best = -1;
  let least = Infinity;
  for (let i = 0; i < shown.length; i++) {
    const along = (place[2 * i] - x) * dx + (place[2 * i + 1] - y) * dy;
    const beside = Math.abs((place[2 * i] - x) * dy - (place[2 * i + 1] - y) * dx);
    if (shown[i] && along > 0 && beside <= along && along + beside < least) [best, least] = [i, along + beside];
  }
  return best;
}

/**
 * Let pointers, the wheel and keys change the view.
 *
 * `act` is told of what they do: moved(), hovered(px, py) or hovered(null), tapped(px, py), stepped(direction),
 * released().
 */
function listen(canvas, view, act) {
  const down = new Map(); // pointers that are down, and where
  let travelled = 0;
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const middle = () => {
    const points = [...down.values()];
    const [x, y] = [0, 1].map((axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length);
    const spread = points.length > 1 ? Math.hypot(points[0][0] - points[1][0], points[0][1] - points[1][1]) : 0;
    return { x, y, spread };
  };

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button > 0) return;
    canvas.setPointerCapture(event.pointerId);
    if (!down.size) travelled = 0;
    down.set(event.pointerId, at(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!down.has(event.pointerId)) {
      if (event.pointerType !== "touch") act.hovered(...at(event));
      return;
    }
    const before = middle();
    down.set(event.pointerId, at(event));
    const after = middle();
    travelled += Math.hypot(after.x - before.x, after.y - before.y) + Math.abs(after.spread - before.spread);
    if (travelled < TAP) return;
    canvas.classList.add("held");
    view.pan(after.x - before.x, after.y - before.y);
    if (before.spread && after.spread) view.zoomAt(after.x, after.y, after.spread / before.spread);
    act.hovered(null);
    act.moved();
  });
  const up = (event) => {
    if (!down.delete(event.pointerId)) return;
    canvas.classList.remove("held");
    if (event.type === "pointerup" && !down.size && travelled < TAP) act.tapped(...at(event));
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("pointerleave", () => act.hovered(null));
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
      const speed = event.ctrlKey ? 0.01 : 0.0016; // ctrl: a pinch on a touchpad, in small steps
      view.zoomAt(...at(event), Math.exp(-event.deltaY * lines * speed));
      act.hovered(...at(event)); // another point may be there now
      act.moved();
    },
    { passive: false },
  );

  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = arrows[event.key];
    if (arrow && event.shiftKey) act.stepped(arrow);
    else if (arrow) view.pan(-arrow[0] * STEP, arrow[1] * STEP);
    else if (event.key === "+" || event.key === "=") view.zoomAt(view.width / 2, view.height / 2, 1.4);
    else if (event.key === "-") view.zoomAt(view.width / 2, view.height / 2, 1 / 1.4);
    else if (event.key === "0") view.showAll();
    else if (event.key === "Escape") act.released();
    else return;
    event.preventDefault();
    act.hovered(null);
    act.moved();
  });
}

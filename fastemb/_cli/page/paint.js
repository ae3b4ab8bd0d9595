// Points drawn: by WebGL where there is such, else by canvas. Both draw in two passes, faint points below all others.

const OFF = 0;
const FAINT = 1;
const PLAIN = 2;
const FAINTNESS = 0.16; // of the opacity

const VERTEX = `#version 300 es
in vec2 place;
in vec4 look;
in float state;
uniform vec2 center;
uniform vec2 scale;
uniform float size;
uniform float pass;
out vec3 color;
flat out int shape;
void main() {
  bool drawn = state == pass;
  gl_Position = drawn ? vec4((place - center) * scale, 0.0, 1.0) : vec4(2.0, 2.0, 2.0, 1.0);
  gl_PointSize = size;
  color = look.rgb;
  shape = int(look.a * 255.0 + 0.5);
}`;

// The distance from the middle, 1 on the outline; the areas of the three shapes are about the same.
const FRAGMENT = `#version 300 es
precision highp float;
in vec3 color;
flat in int shape;
uniform float size;
uniform float opacity;
out vec4 pixel;
void main() {
  vec2 p = gl_PointCoord * 2.0 - 1.0;
  float distance = length(p) * 1.18;
  if (shape == 1) distance = abs(p.x) + abs(p.y);
  if (shape == 2) distance = max(p.y * 1.25, abs(p.x) * 1.12 - p.y * 0.62 + 0.1);
  float inside = 1.0 - smoothstep(1.0 - 3.0 / size, 1.0, distance);
  float alpha = inside * opacity;
  pixel = vec4(color * alpha, alpha);
}`;

/** A painter for a canvas: `set` hands it arrays, `draw` draws them. */
function makePainter(canvas, place, lost) {
  const gl = canvas.getContext("webgl2", { antialias: false, premultipliedAlpha: true });
  return gl ? new GlPainter(gl, place, lost) : new CanvasPainter(canvas.getContext("2d"), place);
}

class GlPainter {
  constructor(gl, place, restored) {
    Object.assign(this, { gl, place, count: place.length / 2 });
    gl.canvas.addEventListener("webglcontextlost", (event) => event.preventDefault()); // or it is never restored
    gl.canvas.addEventListener("webglcontextrestored", () => {
      this.begin();
      restored();
    });
    this.begin();
  }

  begin() {
    const { gl } = this;
    const program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
      throw new Error(`The points cannot be drawn: ${gl.getProgramInfoLog(program)}`);
    }
    gl.useProgram(program);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    const names = ["center", "scale", "size", "pass", "opacity"];
    this.uniforms = Object.fromEntries(names.map((name) => [name, gl.getUniformLocation(program, name)]));
    this.attribute(program, "place", 2, gl.FLOAT, false);
    gl.bufferData(gl.ARRAY_BUFFER, this.place, gl.STATIC_DRAW);
    this.looks = this.attribute(program, "look", 4, gl.UNSIGNED_BYTE, true);
    this.states = this.attribute(program, "state", 1, gl.UNSIGNED_BYTE, false);
  }

  attribute(program, name, size, type, normalized) {
    const { gl } = this;
    const buffer = gl.createBuffer();
    const at = gl.getAttribLocation(program, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.enableVertexAttribArray(at);
    gl.vertexAttribPointer(at, size, type, normalized, 0, 0);
    return buffer;
  }

  set(looks, states) {
    const { gl } = this;
    for (const [buffer, bytes] of [[this.looks, looks], [this.states, states]]) {
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.bufferData(gl.ARRAY_BUFFER, bytes, gl.DYNAMIC_DRAW);
    }
  }

  draw(view, radius, opacity) {
    const { gl, uniforms } = this;
    const { width, height } = gl.canvas;
    gl.viewport(0, 0, width, height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.uniform2f(uniforms.center, view.x, view.y);
    gl.uniform2f(uniforms.scale, (2 * view.scale) / view.width, (2 * view.scale) / view.height);
    gl.uniform1f(uniforms.size, 2 * radius * view.ratio + 1);
    for (const pass of [FAINT, PLAIN]) {
      gl.uniform1f(uniforms.pass, pass);
      gl.uniform1f(uniforms.opacity, pass === FAINT ? opacity * FAINTNESS : opacity);
      gl.drawArrays(gl.POINTS, 0, this.count);
    }
  }
}

/** The same by a canvas, a small picture for each look: slower, and everywhere. */
class CanvasPainter {
  constructor(context, place) {
    Object.assign(this, { context, place, sprites: new Map(), radius: 0 });
  }

  set(looks, states) {
    this.looks = new Uint32Array(looks.buffer);
    this.states = states;
    this.sprites.clear();
  }

  draw(view, radius, opacity) {
    const { context, place, looks, states } = this;
    const { ratio } = view;
    if (radius !== this.radius) this.sprites.clear();
    this.radius = radius;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, context.canvas.width, context.canvas.height);
    const half = Math.ceil(radius * ratio) + 1;
    for (const pass of [FAINT, PLAIN]) {
      context.globalAlpha = pass === FAINT ? opacity * FAINTNESS : opacity;
      for (let i = 0; i < states.length; i++) {
        if (states[i] !== pass) continue;
        const x = ((place[2 * i] - view.x) * view.scale + view.width / 2) * ratio;
        const y = ((view.y - place[2 * i + 1]) * view.scale + view.height / 2) * ratio;
        if (x < -half || y < -half || x > context.canvas.width + half || y > context.canvas.height + half) continue;
        context.drawImage(this.sprite(looks[i], half, radius * ratio), x - half, y - half);
      }
    }
    context.globalAlpha = 1;
  }

  sprite(look, half, radius) {
    let sprite = this.sprites.get(look);
    if (!sprite) {
      const [red, green, blue, shape] = new Uint8Array(Uint32Array.of(look).buffer);
      sprite = new OffscreenCanvas(2 * half, 2 * half);
      const context = sprite.getContext("2d");
      context.translate(half, half);
      context.fillStyle = `rgb(${red} ${green} ${blue})`;
      context.fill(new Path2D(outline(SHAPES[shape], radius)));
      this.sprites.set(look, sprite);
    }
    return sprite;
  }
}

/** The outline of a shape around (0, 0), as SVG and canvas read it. */
function outline(shape, r) {
  if (shape === "diamond") return `M0 ${-r}L${r} 0L0 ${r}L${-r} 0Z`;
  if (shape === "triangle") return `M0 ${-r}L${r} ${0.8 * r}L${-r} ${0.8 * r}Z`;
  const c = 0.85 * r;
  return `M${-c} 0A${c} ${c} 0 1 1 ${c} 0A${c} ${c} 0 1 1 ${-c} 0Z`;
}

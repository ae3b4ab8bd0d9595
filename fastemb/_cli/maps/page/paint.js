// Points drawn: by a graphics card, through WebGL, where there is one, else pixel by pixel. Both draw in two passes,
// faint points below all others.

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
  float diameter = size - 2.0; // a pixel is free on each side
  vec2 p = (gl_PointCoord * 2.0 - 1.0) * size / diameter;
  float distance = length(p) * 1.18;
  if (shape == 1) distance = abs(p.x) + abs(p.y);
  if (shape == 2) distance = max(p.y * 1.25, abs(p.x) * 1.12 - p.y * 0.62 + 0.1);
  float alpha = clamp((1.0 - distance) / min(1.0, 3.0 / diameter), 0.0, 1.0) * opacity;
  pixel = vec4(color * alpha, alpha);
}`;

/**
 * A painter for a canvas: `set` hands it the looks and states of all points, `draw` draws them.
 *
 * #webgl and #pixels behind the page's address say which, whatever the browser tells of its card.
 */
function makePainter(canvas, place, restored) {
  const card = location.hash === "#webgl" || (location.hash !== "#pixels" && hasCard());
  const gl = card && canvas.getContext("webgl2", { antialias: false });
  return gl ? new GlPainter(gl, place, restored) : new PixelPainter(canvas.getContext("2d"), place);
}

/** Whether WebGL means a graphics card: in software it is several times slower than our own pixels. */
function hasCard() {
  const gl = document.createElement("canvas").getContext("webgl2", { failIfMajorPerformanceCaveat: true });
  if (!gl) return false;
  const more = gl.getExtension("WEBGL_debug_renderer_info");
  const names = [gl.RENDERER, ...(more ? [more.UNMASKED_RENDERER_WEBGL] : [])].map((name) => gl.getParameter(name));
  gl.getExtension("WEBGL_lose_context")?.loseContext(); // a browser has but a few
  return !/swiftshader|llvmpipe|software|basic render/i.test(names.join(" "));
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
    gl.uniform1f(uniforms.size, 2 * radius * view.ratio + 2);
    for (const pass of [FAINT, PLAIN]) {
      gl.uniform1f(uniforms.pass, pass);
      gl.uniform1f(uniforms.opacity, pass === FAINT ? opacity * FAINTNESS : opacity);
      gl.drawArrays(gl.POINTS, 0, this.count);
    }
  }
}

/** The same without a graphics card: pixels mixed one by one. */
class PixelPainter {
  constructor(context, place) {
    Object.assign(this, { context, place, image: null });
  }

  set(looks, states) {
    Object.assign(this, { looks, states });
  }

  draw(view, radius, opacity) {
    const { width, height } = this.context.canvas;
    const half = Math.ceil(radius * view.ratio) + 1;
    const border = 2 * half; // out of sight, so that a point of which a part is seen is drawn whole
    this.clear(width + 2 * border, height + 2 * border);
    for (const pass of [FAINT, PLAIN]) {
      const alpha = pass === FAINT ? opacity * FAINTNESS : opacity;
      const stamps = SHAPES.map((_, shape) => stamp(shape, radius * view.ratio, half, this.image.width, alpha));
      this.drawPass(pass, view, border, stamps);
    }
    this.context.putImageData(this.image, -border, -border);
  }

  clear(width, height) {
    if (this.image?.width !== width || this.image.height !== height) this.image = new ImageData(width, height);
    const ground = channels(getComputedStyle(this.context.canvas).getPropertyValue("--ground").trim());
    new Uint32Array(this.image.data.buffer).fill(new Uint32Array(Uint8Array.of(...ground, 255).buffer)[0]);
  }

  drawPass(pass, view, border, stamps) {
    const { place, looks, states, image } = this;
    const { ratio } = view;
    const pixels = new Uint8Array(image.data.buffer); // not clamped, which a mixture need not be
    const least = border / 2;
    const [right, bottom] = [image.width - least, image.height - least];
    for (let i = 0; i < states.length; i++) {
      if (states[i] !== pass) continue;
      const x = Math.round(((place[2 * i] - view.x) * view.scale + view.width / 2) * ratio) + border;
      const y = Math.round(((view.y - place[2 * i + 1]) * view.scale + view.height / 2) * ratio) + border;
      if (!(x >= least && y >= least && x < right && y < bottom)) continue;
      const at = 4 * (y * image.width + x);
      const [red, green, blue] = [looks[4 * i], looks[4 * i + 1], looks[4 * i + 2]];
      const { offsets, alphas } = stamps[looks[4 * i + 3]];
      for (let k = 0; k < offsets.length; k++) {
        const pixel = at + offsets[k];
        const alpha = alphas[k];
        pixels[pixel] += ((red - pixels[pixel]) * alpha) >> 8;
        pixels[pixel + 1] += ((green - pixels[pixel + 1]) * alpha) >> 8;
        pixels[pixel + 2] += ((blue - pixels[pixel + 2]) * alpha) >> 8;
      }
    }
  }
}

/** The pixels of a shape, as offsets in bytes, and how much of 256 of each is its own. */
function stamp(shape, radius, half, width, opacity) {
  const offsets = [];
  const alphas = [];
  const soft = Math.min(1, 1.5 / radius); // the edge, one and a half pixels wide
  for (let y = -half; y <= half; y++) {
    for (let x = -half; x <= half; x++) {
      const inside = Math.min(1, (1 - distance(shape, x / radius, y / radius)) / soft);
      if (inside <= 0) continue;
      offsets.push(4 * (y * width + x));
      alphas.push(Math.round(256 * inside * opacity));
    }
  }
  return { offsets: Int32Array.from(offsets), alphas: Int32Array.from(alphas) };
}

/** The distance from the middle of a shape, 1 on its outline, as the shader has it. */
function distance(shape, x, y) {
  if (shape === 1) return Math.abs(x) + Math.abs(y);
  if (shape === 2) return Math.max(y * 1.25, Math.abs(x) * 1.12 - y * 0.62 + 0.1);
  return Math.hypot(x, y) * 1.18;
}

/** The outline of a shape around (0, 0), as SVG and canvas read it. */
function outline(shape, r) {
  if (shape === "diamond") return `M0 ${-r}L${r} 0L0 ${r}L${-r} 0Z`;
  if (shape === "triangle") return `M0 ${-r}L${r} ${0.8 * r}L${-r} ${0.8 * r}Z`;
  const c = 0.85 * r;
  return `M${-c} 0A${c} ${c} 0 1 1 ${c} 0A${c} ${c} 0 1 1 ${-c} 0Z`;
}

// Pictures that carry their matte beside them (streams/matte.py), for the overlay and the page:
// GLSL that takes them apart, and what little of WebGL they need. Coordinates go from 0 at the
// top left to 1.

/** Colour and opacity at a place of a picture; one without the mark is opaque. `size` in pixels. */
export const PAIR = `
  vec3 marked(sampler2D video, float y) { return texture2D(video, vec2(1.0 - 1.0 / 128.0, y)).rgb; }
  bool magenta(vec3 mark) { return min(mark.r, mark.b) - mark.g > 0.3; }
  bool green(vec3 mark) { return mark.g - max(mark.r, mark.b) > 0.3; }
  bool isPair(sampler2D video) {
    return magenta(marked(video, 0.125)) && green(marked(video, 0.375)) &&
      magenta(marked(video, 0.625)) && green(marked(video, 0.875));
  }
  vec4 pictureAt(sampler2D video, vec2 size, bool pair, vec2 at) {
    if (!pair) return vec4(texture2D(video, at).rgb, 1.0);
    float pixel = 1.0 / size.x;
    float left = clamp(at.x / 2.0, pixel / 2.0, 0.5 - 1.5 * pixel);
    float right = clamp(0.5 + at.x / 2.0, 0.5 + 1.5 * pixel, 1.0 - 1.0 / 64.0 - 3.0 * pixel);
    float grey = dot(texture2D(video, vec2(right, at.y)).rgb, vec3(0.299, 0.587, 0.114));
    float opacity = clamp((grey - 0.06) / 0.88, 0.0, 1.0); // codecs ripple near black and white
    return vec4(texture2D(video, vec2(left, at.y)).rgb, opacity);
  }
  float aspectOf(vec2 size, bool pair) { return size.x / size.y / (pair ? 2.0 : 1.0); }
  vec2 cover(vec2 at, float aspect, float wanted) {
    vec2 seen = aspect > wanted ? vec2(wanted / aspect, 1.0) : vec2(1.0, aspect / wanted);
    return (at - 0.5) * seen + 0.5;
  }
  vec2 contain(vec2 at, float aspect, float wanted) {
    vec2 seen = aspect > wanted ? vec2(1.0, aspect / wanted) : vec2(wanted / aspect, 1.0);
    return (at - 0.5) * seen + 0.5;
  }`;

const VERTEX = `
  attribute vec2 corner;
  varying vec2 at;
  void main() {
    at = vec2(corner.x, 1.0 - corner.y);
    gl_Position = vec4(2.0 * corner - 1.0, 0.0, 1.0);
  }`;

const OVERLAY = `
  precision highp float;
  varying vec2 at;
  uniform sampler2D video;
  uniform vec2 size;
  uniform vec2 canvas;
  uniform bool whole;
  ${PAIR}
  void main() {
    bool pair = isPair(video);
    float aspect = aspectOf(size, pair), wanted = canvas.x / canvas.y;
    vec2 place = whole ? contain(at, aspect, wanted) : cover(at, aspect, wanted);
    vec4 seen = pictureAt(video, size, pair, place);
    bool inside = all(greaterThanEqual(place, vec2(0.0))) && all(lessThanEqual(place, vec2(1.0)));
    gl_FragColor = inside ? vec4(seen.rgb * seen.a, seen.a) : vec4(0.0);
  }`;

/**
 * Make a program that fills its canvas by a fragment shader, with a texture for each name.
 * @param {WebGLRenderingContext} gl
 * @param {string} fragment
 * @param {readonly string[]} textures
 */
export function makeProgram(gl, fragment, textures) {
  const program = gl.createProgram();
  for (const [kind, source] of /** @type {const} */ ([[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, fragment]])) {
    const shader = gl.createShader(kind);
    if (!shader) throw new Error("WebGL is lost");
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader) ?? "");
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  gl.useProgram(program);
  gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
  gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([0, 0, 1, 0, 0, 1, 1, 1]), gl.STATIC_DRAW);
  gl.enableVertexAttribArray(0);
  gl.vertexAttribPointer(gl.getAttribLocation(program, "corner"), 2, gl.FLOAT, false, 0, 0);
  textures.forEach((name, unit) => {
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    for (const [key, value] of /** @type {const} */ ([
      [gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE], [gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE],
      [gl.TEXTURE_MIN_FILTER, gl.LINEAR], [gl.TEXTURE_MAG_FILTER, gl.LINEAR],
    ])) gl.texParameteri(gl.TEXTURE_2D, key, value);
    gl.uniform1i(gl.getUniformLocation(program, name), unit);
  });
  return program;
}

/**
 * Put a picture into a texture.
 * @param {WebGLRenderingContext} gl
 * @param {number} unit
 * @param {TexImageSource} picture
 */
export function upload(gl, unit, picture) {
  gl.activeTexture(gl.TEXTURE0 + unit);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, picture);
}

/**
 * Make a function that draws what a video shows now, transparent where its matte says so.
 * Gives null where there is no WebGL.
 * @param {HTMLCanvasElement} canvas
 * @param {HTMLVideoElement} video
 * @param {boolean} whole all of the picture is to be seen, with a margin; else it fills the canvas
 */
export function pairDrawer(canvas, video, whole) {
  const gl = canvas.getContext("webgl");
  if (!gl) return null;
  const program = makeProgram(gl, OVERLAY, ["video"]);
  const place = (/** @type {string} */ name) => gl.getUniformLocation(program, name);
  const [size, box, all] = [place("size"), place("canvas"), place("whole")];
  return () => {
    if (video.videoWidth === 0) {
      gl.clear(gl.COLOR_BUFFER_BIT); // nothing is left of a picture that has ended
      return;
    }
    const wide = Math.round(canvas.clientWidth * devicePixelRatio);
    const high = Math.round(canvas.clientHeight * devicePixelRatio);
    if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
    gl.viewport(0, 0, wide, high);
    upload(gl, 0, video);
    gl.uniform2f(size, video.videoWidth, video.videoHeight);
    gl.uniform2f(box, wide, high);
    gl.uniform1i(all, whole ? 1 : 0);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  };
}

// Draws digits with the exported generator, in this browser and nowhere else.
// A digit is named by its seed and the sliders' positions, which the page's address holds.

"use strict";

const RUNTIME = "./onnxruntime-web/ort.js";
const SURE = 0.9; // the classifier's probability of a digit that is good enough
const BATCH = 8; // digits in a batch of a search
const MOST = 32; // batches of a search, at most
const PATIENCE = 100; // milliseconds after which a probability of 0.5 is enough
const SPARE = 2; // of each digit are kept ready
const KEPT = 12; // digits in the strip
const ENLARGED = 10; // pixels a pixel of the PNG to download
const DIGIT = 0; // purpose of random numbers; 1, 2, ... are the sliders' directions

const [canvas, status, form, controls, link, download, strip, template] = [
  ...["canvas", "status", "form", "controls", "link", "download", "strip", "entry"],
].map((id) => document.getElementById(id));
const sliders = [...form.querySelectorAll("[type=range]")];
let runtime, generator, classifier;
let seed = 0;
const stock = Array.from({ length: 10 }, () => []); // of each digit: seeds, the likeliest first
let newest = 0; // number of the task that was asked for last
let turn = Promise.resolve(); // done when no task runs

/** A source of uniform numbers between 0 and 1: sfc32 (Doty-Humphrey, PractRand). */
function uniforms(purpose, seed) {
  let [a, b, c, count] = [seed, purpose, 0x9e3779b9, 1];
  function next() {
    const sum = (a + b + count++) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return ((sum >>> 0) + 0.5) / 2 ** 32;
  }
  for (let i = 0; i < 12; i++) next(); // until every bit depends on the seed
  return next;
}

/** Standard normal noise for the generator (Box & Muller 1958), named by purpose and seed. */
function noise(purpose, seed) {
  const next = uniforms(purpose, seed);
  const normal = () => Math.sqrt(-2 * Math.log(next())) * Math.cos(2 * Math.PI * next());
  return Array.from({ length: generator.inputMetadata[0].shape[1] }, normal);
}

/** Noise that the sliders have moved: all but its first third, along the sliders' directions, and
 * rescaled to its old length, the only length seen in training. The first third stays, because
 * its largest number may choose a discrete code, and the digit would jump. */
function bend(z, positions) {
  const first = Math.ceil(z.length / 3);
  const directions = positions.map((_, i) => noise(i + 1, 0).slice(first));
  const rest = z.slice(first);
  const moved = rest.map((value, i) =>
    positions.reduce((sum, position, k) => sum + position * directions[k][i], value),
  );
  const scale = Math.hypot(...rest) / Math.hypot(...moved);
  return [...z.slice(0, first), ...moved.map((value) => value * scale)];
}

/** Digits of some noise, pixels in [-1, 1]; the classifier's ten probabilities of each, and
 * whether to accept it: at random, with the classifier's `acceptance`; always if it has none. */
async function draw(zs) {
  const tensor = new runtime.Tensor("float32", zs.flat(), [zs.length, zs[0].length]);
  const { digits } = await generator.run({ noise: tensor });
  const { probabilities, acceptance } = await classifier.run({ digits });
  const rows = zs.map((_, i) => probabilities.data.slice(10 * i, 10 * (i + 1)));
  const accepted = zs.map((_, i) => !acceptance || Math.random() < acceptance.data[i]);
  return { pixels: digits.data, rows, accepted };
}

/** Draw a batch by chance: {seed, row of probabilities} of each digit that is accepted. */
async function drawBatch() {
  const seeds = [...crypto.getRandomValues(new Uint32Array(BATCH))];
  const { rows, accepted } = await draw(seeds.map((each) => noise(DIGIT, each)));
  return seeds.map((seed, i) => ({ seed, row: rows[i] })).filter((_, i) => accepted[i]);
}

/** Draw a batch, and keep for each digit the seeds that look most like it. */
async function stockUp() {
  const drawn = await drawBatch();
  for (const [digit, kept] of stock.entries()) {
    kept.push(...drawn.map(({ seed, row }) => ({ seed, probability: row[digit] })));
    kept.sort((one, other) => other.probability - one.probability).splice(SPARE);
  }
}

/** Draw a digit by chance, the picked one if one is picked. */
async function newDigit(began) {
  const kept = stock[form.wanted.value]; // none for `any`
  const enough = () => (performance.now() - began < PATIENCE ? SURE : 0.5);
  for (let i = 0; kept && i < MOST && !(kept[0]?.probability >= enough()); i++) await stockUp();
  let found = kept ?? [];
  for (let i = 0; !kept && i < MOST && !found.length; i++) found = await drawBatch();
  seed = found.shift()?.seed ?? crypto.getRandomValues(new Uint32Array(1))[0];
  for (const slider of sliders) slider.value = 0;
  await show(began);
}

/** Stock up while nobody asks, so that a click finds its digit ready. */
function prepare(batches = MOST) {
  const mine = newest;
  const lacking = (kept) => !(kept[SPARE - 1]?.probability >= SURE);
  setTimeout(() => {
    if (mine !== newest || !batches || !stock.some(lacking)) return;
    turn = turn.then(stockUp).then(() => prepare(batches - 1));
  });
}

/** Show the digit of the seed and the sliders. Drawn alone, so that its pixels are always the same. */
async function show(began) {
  const { pixels, rows } = await draw([bend(noise(DIGIT, seed), positions())]);
  const image = new ImageData(28, 28);
  pixels.forEach((value, i) => (image.data[4 * i + 3] = (value + 1) * 127.5)); // ink is opacity
  canvas.getContext("2d").putImageData(image, 0, 0);
  const likeliest = rows[0].indexOf(Math.max(...rows[0]));
  const percent = Math.floor(100 * rows[0][likeliest]);
  canvas.setAttribute("aria-label", `A handwritten ${likeliest}`);
  download.download = `digit-${likeliest}-seed-${seed}.png`;
  download.href = enlarged();
  status.className = "";
  status.textContent =
    `The classifier reads ${likeliest}, ${percent} % sure.\n` +
    `Drawn in ${Math.round(performance.now() - began)} ms.`;
}

/** What is shown as a PNG, black on white, in a data URL. */
function enlarged() {
  const large = document.createElement("canvas");
  large.width = large.height = 28 * ENLARGED;
  const context = large.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, large.width, large.height);
  context.imageSmoothingEnabled = false;
  context.drawImage(canvas, 0, 0, large.width, large.height);
  return large.toDataURL();
}

/** Put what is shown into the strip: first, or in the place that its seed has there. */
function keep() {
  let entry = [...strip.children].find((each) => each.dataset.seed === `${seed}`);
  if (!entry) {
    strip.prepend(template.content.cloneNode(true));
    strip.children[KEPT]?.remove();
    entry = strip.firstElementChild;
    entry.dataset.seed = seed;
  }
  for (const each of strip.querySelectorAll("a")) each.removeAttribute("aria-current");
  const [anchor, picture] = entry.querySelectorAll("a, img");
  anchor.href = address();
  anchor.setAttribute("aria-current", "true");
  picture.src = canvas.toDataURL();
  picture.alt = canvas.getAttribute("aria-label");
}

/** Show what the page's address names, or a new digit if it names none. */
function reopen(began) {
  return openAddress() ? show(began) : newDigit(began);
}

function positions() {
  return sliders.map((slider) => slider.valueAsNumber);
}

/** The address of what is shown. */
function address() {
  return `#seed=${seed}&digit=${form.wanted.value}&sliders=${positions().join()}`;
}

/** Its inverse: take seed, digit and sliders from the page's address, if it has a seed. */
function openAddress() {
  const words = new URLSearchParams(location.hash.slice(1));
  if (!/^\d{1,10}$/.test(words.get("seed"))) return false;
  seed = words.get("seed") >>> 0;
  form.wanted.value = /^\d$/.test(words.get("digit")) ? words.get("digit") : "any";
  const given = (words.get("sliders") ?? "").split(",");
  sliders.forEach((slider, i) => (slider.value = Number(given[i]) || 0)); // it keeps to its range
  return true;
}

/** Run a task after the one that runs, unless a newer one comes before its turn; then keep the
 * page's address, with `pushState` for one that the back button returns to. */
function inTurn(task, remember) {
  const [mine, began] = [++newest, performance.now()];
  turn = turn
    .then(async () => {
      if (mine !== newest) return;
      await task(began);
      prepare();
      link.href = address();
      if (!remember) return;
      history[remember](null, "", link.href);
      keep();
    })
    .catch((error) => complain(`This went wrong: ${error.message}`));
}

function complain(words) {
  status.className = "wrong";
  status.textContent = words;
}

async function loadModel(name) {
  const response = await fetch(name, { cache: "no-cache" }); // it may have been exported again
  if (!response.ok) throw new Error(`${name} is not there`);
  try {
    return await runtime.InferenceSession.create(new Uint8Array(await response.arrayBuffer()));
  } catch (error) {
    throw new Error(`${name} cannot be read (${error.message})`);
  }
}

async function start() {
  try {
    runtime = await import(RUNTIME);
    runtime.env.wasm.numThreads = 1; // more would need headers that a plain server does not send
    const names = ["generator.onnx", "generator-classifier.onnx"];
    [generator, classifier] = await Promise.all(names.map(loadModel));
  } catch (error) {
    complain(`Cannot draw: ${error.message}. Run “make demo” in the project's folder.`);
    return;
  }
  controls.disabled = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    inTurn(newDigit, "pushState");
  });
  for (const radio of form.wanted) {
    radio.addEventListener("change", () => inTurn(newDigit, "pushState"));
  }
  for (const slider of sliders) {
    slider.addEventListener("input", () => inTurn(show));
    slider.addEventListener("change", () => inTurn(show, "replaceState")); // once it is let go
  }
  addEventListener("hashchange", () => inTurn(reopen, "replaceState"));
  inTurn(reopen, "replaceState");
}

start();

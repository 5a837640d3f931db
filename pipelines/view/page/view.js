// The page of `noisystudent view`: NiiVue draws a scan and one layer of labels over it.
"use strict";

const $ = (id) => document.getElementById(id);
const planes = { axial: 0, coronal: 1, sagittal: 2, all: 3, render: 4 }; // NiiVue's numbers
const axes = { axial: 2, coronal: 1, sagittal: 0 }; // of NiiVue's voxels (x, y, z)

const nv = new niivue.Niivue({
  isRadiologicalConvention: true, isNearestInterpolation: true, crosshairColor: [1, 1, 1, 0.6], crosshairWidth: 0.15, crosshairWidthUnit: "percent",
  backColor: [0, 0, 0, 1], show3Dcrosshair: true, dragAndDropEnabled: false, loadingText: "", logLevel: "error",
});
const hidden = new Set(); // classes, over all cases
let all; // cases.json
let latest = 0; // the newest wish; those before it are given up
let queue = Promise.resolve();

function tell(text, state) {
  $("message").textContent = text;
  document.body.dataset.state = state;
}

const name = (id) => all.labels.find((l) => l.id === id)?.name ?? `class ${id}`;
const layer = () => document.querySelector("[name=layer]:checked")?.value ?? "";

// fetched gives a layer's bytes as an address of this page.
async function fetched(number, what) {
  const answer = await fetch(`case/${number}/${what}`);
  if (!answer.ok) throw new Error(await answer.text());
  return URL.createObjectURL(await answer.blob());
}

// later does work after what is going on, unless something newer is wanted by then.
function later(work) {
  const mine = ++latest;
  tell("loading …", "loading");
  queue = queue.then(async () => {
    if (mine !== latest) return;
    try {
      await work();
      if (mine === latest) tell("", "ready");
    } catch (e) {
      if (mine === latest) tell(String(e.message ?? e), "failed");
    }
  });
}

async function showCase() {
  const number = $("case").value;
  $("classes").querySelectorAll("label").forEach((l) => l.remove());
  const url = await fetched(number, "scan");
  try {
    await nv.loadVolumes([{ url, name: "scan.nii", colormap: "gray" }]);
  } finally {
    URL.revokeObjectURL(url);
  }
  setWindow();
  setPlane();
  await showLayer();
}

async function showLayer() {
  while (nv.volumes.length > 1) nv.removeVolume(nv.volumes[1]);
  const what = layer();
  if (what) {
    const url = await fetched($("case").value, what);
    try {
      await nv.addVolumeFromUrl({ url, name: "labels.nii", opacity: Number($("opacity").value) });
    } finally {
      URL.revokeObjectURL(url);
    }
  }
  listClasses();
  colour();
}

// listClasses shows the classes that the layer holds, with their volume.
function listClasses() {
  const voxels = new Float64Array(256);
  const overlay = nv.volumes[1];
  if (overlay) for (const v of overlay.img) voxels[v]++;
  $("classes").querySelectorAll("label").forEach((l) => l.remove());
  for (let id = 1; id < 256; id++) {
    if (!voxels[id]) continue;
    const [, dx, dy, dz] = overlay.hdr.pixDims;
    const entry = document.createElement("label");
    const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: !hidden.has(id) });
    box.dataset.id = id;
    box.addEventListener("change", () => {
      box.checked ? hidden.delete(id) : hidden.add(id);
      colour();
    });
    const swatch = Object.assign(document.createElement("span"), { className: "swatch" });
    swatch.style.background = all.colours[id];
    const volume = Object.assign(document.createElement("span"), { className: "volume" });
    volume.textContent = `${((voxels[id] * dx * dy * dz) / 1000).toFixed(1)} ml`;
    entry.append(box, swatch, name(id), volume);
    $("classes").append(entry);
  }
}

// colour gives the overlay the colours of the classes that are shown.
function colour() {
  const overlay = nv.volumes[1];
  if (!overlay) return;
  // Two more below the background: NiiVue lifts all that is above the first colour to 2/256 of the map.
  const map = { R: [0, 0], G: [0, 0], B: [0, 0], A: [0, 0], I: [-2, -1] };
  all.colours.forEach((c, id) => {
    map.R.push(parseInt(c.slice(1, 3), 16));
    map.G.push(parseInt(c.slice(3, 5), 16));
    map.B.push(parseInt(c.slice(5, 7), 16));
    map.A.push(id === 0 || hidden.has(id) ? 0 : 255);
    map.I.push(id);
  });
  overlay.setColormapLabel(map);
  nv.updateGLVolume();
}

function setWindow() {
  const scan = nv.volumes[0];
  if (!scan) return;
  const range = $("window").value;
  [scan.cal_min, scan.cal_max] = range ? range.split(",").map(Number) : [scan.global_min, scan.global_max];
  nv.updateGLVolume();
}

function setPlane() {
  const plane = $("plane").value;
  const axis = axes[plane];
  nv.setSliceType(planes[plane]);
  $("slice").disabled = axis === undefined;
  if (!nv.volumes[0]) return;
  if (axis !== undefined) $("slice").max = nv.volumes[0].dimsRAS[axis + 1] - 1;
  showAt(nv.frac2vox(nv.scene.crosshairPos));
}

// showAt moves the slider to where the crosshair is.
function showAt(vox) {
  const axis = axes[$("plane").value];
  if (axis === undefined) return ($("at").value = "");
  $("slice").value = Math.round(vox[axis]);
  $("at").value = `${Number($("slice").value) + 1} of ${Number($("slice").max) + 1}`;
}

nv.onLocationChange = (d) => {
  showAt(d.vox);
  const [scan, overlay] = d.values;
  const id = Math.round(overlay?.value ?? 0);
  $("place").textContent = `${Array.from(d.mm).slice(0, 3).map((x) => x.toFixed(1)).join(", ")} mm · ${Math.round(scan.value)} HU` + (id ? ` · ${name(id)}` : "");
};

function listLayers() {
  const names = all.cases[$("case").value].layers.filter((l) => l !== "scan");
  const before = layer();
  $("layers").replaceChildren(...names.map((what, i) => {
    const entry = document.createElement("label");
    const box = Object.assign(document.createElement("input"), { type: "radio", name: "layer", value: what });
    box.checked = names.includes(before) ? what === before : i === 0;
    box.addEventListener("change", () => later(showLayer));
    entry.append(box, what);
    return entry;
  }));
}

function setAll(shown) {
  $("classes").querySelectorAll("input").forEach((box) => {
    box.checked = shown;
    shown ? hidden.delete(Number(box.dataset.id)) : hidden.add(Number(box.dataset.id));
  });
  colour();
}

$("case").addEventListener("change", () => { listLayers(); later(showCase); });
$("plane").addEventListener("change", setPlane);
$("window").addEventListener("change", setWindow);
$("opacity").addEventListener("input", () => nv.volumes[1] && nv.setOpacity(1, Number($("opacity").value)));
$("slice").addEventListener("input", () => {
  const axis = axes[$("plane").value];
  const step = [0, 0, 0];
  step[axis] = Number($("slice").value) - Math.round(nv.frac2vox(nv.scene.crosshairPos)[axis]);
  nv.moveCrosshairInVox(...step);
});
$("all").addEventListener("click", () => setAll(true));
$("none").addEventListener("click", () => setAll(false));

later(async () => {
  all = await (await fetch("cases.json")).json();
  all.cases.forEach((c, i) => $("case").add(new Option(c.id, i)));
  listLayers();
  await nv.attachToCanvas($("canvas"));
  if (!nv.gl) throw new Error("this browser has no WebGL 2, which drawing needs");
  await showCase();
});

// Two ways to draw the network: by sigma.js where a GPU draws WebGL, and by a plain canvas, which is
// several times faster where WebGL is emulated, and works where there is none.

import type Graph from "graphology";
import Sigma from "sigma";

import createNodeBorderProgram from "./border";
import { variable } from "./colours";
import { h } from "./dom";

export interface Look {
  node: (node: string, data: Record<string, any>) => Record<string, any>;
  edge: (edge: string) => Record<string, any>;
}

export interface Drawing {
  /** Nodes and edges that it draws well. */
  readonly most: number;
  refresh(): void;
  resize(): void;
  /** Show the whole network. */
  reset(slowly: boolean): void;
  /** Take the colours of the theme. */
  themed(): void;
  /** Pixels of a place of the graph. */
  place(at: { x: number; y: number }): { x: number; y: number };
}

export interface Reactions {
  click: (node: string | null) => void;
  hover: (node: string | null) => void;
}

const LABEL_SIZE = 12;
const LABEL_FONT = "system-ui, sans-serif";
const PADDING = 36;
const MOST_BY_CANVAS = 8000; // nodes and edges; even emulated, WebGL is faster beyond
const WHOLE = { x: 0.5, y: 0.5, ratio: 1.06, angle: 0 };

/** Draws a graph of ``size`` nodes and edges into a host. */
export function drawing(graph: Graph, host: HTMLElement, look: Look, react: Reactions, size: number): Drawing {
  const gl = webgl();
  const fast = gl === "gpu" || (gl === "emulated" && size > MOST_BY_CANVAS);
  host.replaceChildren();
  return fast ? bySigma(graph, host, look, react) : byCanvas(graph, host, look, react, gl === "none" ? Infinity : MOST_BY_CANVAS);
}

const EMULATED = /swiftshader|llvmpipe|softpipe|software|basic render/i;

function webgl(): "gpu" | "emulated" | "none" {
  const gl = h("canvas").getContext("webgl2");
  if (!gl) return "none";
  const named = gl.getExtension("WEBGL_debug_renderer_info");
  const renderer = String(gl.getParameter(named ? named.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
  gl.getExtension("WEBGL_lose_context")?.loseContext();
  return EMULATED.test(renderer) ? "emulated" : "gpu";
}

function bySigma(graph: Graph, host: HTMLElement, look: Look, react: Reactions): Drawing {
  const sigma = new Sigma(graph, host, {
    defaultNodeType: "border",
    nodeProgramClasses: { border: createNodeBorderProgram },
    allowInvalidContainer: true,
    labelFont: LABEL_FONT,
    labelSize: LABEL_SIZE,
    labelWeight: "500",
    labelColor: { color: variable("ink") },
    labelRenderedSizeThreshold: 0,
    labelDensity: 3,
    labelGridCellSize: 60,
    stagePadding: PADDING,
    minCameraRatio: 0.05,
    maxCameraRatio: 4,
    zIndex: true,
    defaultDrawNodeHover: () => undefined,
    nodeReducer: look.node,
    edgeReducer: look.edge,
  });
  sigma.on("clickNode", ({ node }) => react.click(node));
  sigma.on("clickStage", () => react.click(null));
  sigma.on("enterNode", ({ node }) => react.hover(node));
  sigma.on("leaveNode", () => react.hover(null));
  const refresh = () => void sigma.refresh({ skipIndexation: true });
  return {
    most: Infinity,
    refresh,
    resize: () => {
      sigma.resize();
      refresh();
    },
    reset: (slowly) => {
      const camera = sigma.getCamera();
      if (slowly) void camera.animate(WHOLE, { duration: 250 });
      else camera.setState(WHOLE);
    },
    themed: () => sigma.setSetting("labelColor", { color: variable("ink") }),
    place: (at) => sigma.graphToViewport(at),
  };
}

/** The same picture: wheel and drag move it as they do sigma's. */
function byCanvas(graph: Graph, host: HTMLElement, look: Look, react: Reactions, most: number): Drawing {
  const canvas = h("canvas", { class: "sketch" });
  host.append(canvas);
  const pen = canvas.getContext("2d")!;
  const view = { x: 0, y: 0, zoom: 1 };
  let frame = { x: 0, y: 0, scale: 1 };

  const place = ({ x, y }: { x: number; y: number }) => ({
    x: host.clientWidth / 2 + view.x + (x - frame.x) * frame.scale * view.zoom,
    y: host.clientHeight / 2 + view.y - (y - frame.y) * frame.scale * view.zoom,
  });
  const drawEdges = () => {
    graph.forEachEdge((edge, _, __, ___, source, target) => {
      const { color, size } = look.edge(edge);
      const [a, b] = [place(source as never), place(target as never)];
      pen.strokeStyle = color;
      pen.lineWidth = size;
      pen.beginPath();
      pen.moveTo(a.x, a.y);
      pen.lineTo(b.x, b.y);
      pen.stroke();
    });
  };
  const drawNodes = () => {
    pen.font = `500 ${LABEL_SIZE}px ${LABEL_FONT}`;
    pen.textBaseline = "middle";
    graph.forEachNode((node, data) => {
      const { color, borderColor, size, label } = look.node(node, data);
      const radius = size * Math.sqrt(view.zoom);
      const { x, y } = place(data as never);
      pen.beginPath();
      pen.arc(x, y, radius * 0.92, 0, 2 * Math.PI);
      pen.fillStyle = color;
      pen.strokeStyle = borderColor;
      pen.lineWidth = radius * 0.16;
      pen.fill();
      pen.stroke();
      pen.fillStyle = variable("ink");
      if (label) pen.fillText(label, x + radius + 3, y);
    });
  };
  const refresh = () => {
    const { clientWidth: width, clientHeight: height } = host;
    if (!width || !height || !graph.order) return;
    const ratio = devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    frame = fitted(graph, width, height);
    drawEdges();
    drawNodes();
  };
  const at = (event: MouseEvent) =>
    graph.findNode((_, data) => {
      const { x, y } = place(data as never);
      return Math.hypot(x - event.offsetX, y - event.offsetY) <= data.size * Math.sqrt(view.zoom) + 2;
    }) ?? null;
  movable(canvas, view, refresh, (event) => react.click(at(event)));
  let over: string | null = null;
  const hover = (node: string | null) => {
    if (node !== over) react.hover((over = node));
  };
  canvas.addEventListener("pointermove", (event) => event.buttons || hover(at(event)));
  canvas.addEventListener("pointerleave", () => hover(null));
  const reset = () => {
    Object.assign(view, { x: 0, y: 0, zoom: 1 });
    refresh();
  };
  return { most, refresh, resize: refresh, reset, themed: refresh, place };
}

/** The middle of a graph, and pixels to its unit, so that all of it is seen. */
function fitted(graph: Graph, width: number, height: number): { x: number; y: number; scale: number } {
  const box = { left: Infinity, right: -Infinity, low: Infinity, high: -Infinity };
  graph.forEachNode((_, { x, y }) => {
    box.left = Math.min(box.left, x);
    box.right = Math.max(box.right, x);
    box.low = Math.min(box.low, y);
    box.high = Math.max(box.high, y);
  });
  const span = Math.max(box.right - box.left, box.high - box.low) || 1;
  const scale = (Math.min(width, height) - 2 * PADDING) / span / WHOLE.ratio;
  return { x: (box.left + box.right) / 2, y: (box.low + box.high) / 2, scale };
}

/** Let the wheel zoom about the pointer, and dragging move; what is no drag is a click. */
function movable(
  canvas: HTMLCanvasElement,
  view: { x: number; y: number; zoom: number },
  changed: () => void,
  click: (event: MouseEvent) => void,
): void {
  let dragged = 0;
  canvas.addEventListener("pointerdown", (event) => {
    dragged = 0;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!(event.buttons & 1)) return;
    dragged += Math.hypot(event.movementX, event.movementY);
    view.x += event.movementX;
    view.y += event.movementY;
    changed();
  });
  canvas.addEventListener("click", (event) => dragged > 4 || click(event));
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const zoom = Math.min(Math.max(view.zoom * 1.0015 ** -event.deltaY, 1 / 4), 20);
      const [x, y] = [event.offsetX - canvas.clientWidth / 2, event.offsetY - canvas.clientHeight / 2];
      view.x = x - ((x - view.x) * zoom) / view.zoom;
      view.y = y - ((y - view.y) * zoom) / view.zoom;
      view.zoom = zoom;
      changed();
    },
    { passive: false },
  );
}

// The population and its ties, with what is said travelling along them.

import Graph from "graphology";

import { faded, mixed, variable } from "./colours";
import { h, onSize } from "./dom";
import { drawing } from "./drawing";
import type { Drawing } from "./drawing";
import { categoryOf, colourOf } from "./kinds";
import type { Colouring } from "./kinds";
import { store } from "./store";

const MOST_NODES = 3000;
const MOST_PULSES = 240;
const FLIGHT_MS = 650;

interface Pulse {
  from: string;
  to: string;
  start: number;
  colour: string;
}

export class Network {
  readonly element = h("div", { class: "network" });
  by: Colouring = "group";

  private graph = new Graph({ multi: false, type: "undirected" });
  private host = h("div", { class: "sigma" });
  private drawing: Drawing | null = null;
  private canvas = h("canvas", { class: "pulses" });
  private pulses: Pulse[] = [];
  private frame = 0;
  private edgesShown = -2;
  private placed = "";
  private uidOf = new Map<string, number>();
  private slotOf = new Map<number, string>();
  private hovered: string | null = null;
  private speaking = new Set<string>();

  constructor() {
    this.element.append(this.host, this.canvas);
    onSize(this.element, () => this.resize());
  }

  get fits(): boolean {
    return store.numSlots <= MOST_NODES;
  }

  /** Who is where: once for a run, and again when ties or colours change. */
  build(): void {
    const stage = store.stage;
    const num = Math.min(store.numSlots, MOST_NODES);
    const key = `${num}/${stage?.places ? "given" : "free"}`;
    if (key !== this.placed) {
      this.graph.clear();
      const places = stage?.places ?? circle(num);
      for (let slot = 0; slot < num; slot++) {
        const [x, y] = places[slot] ?? [0, 0];
        this.graph.addNode(String(slot), { x, y, size: this.size(num), label: "", color: "#888888" });
      }
      this.placed = key;
      this.edgesShown = -2;
      const size = num + (stage?.edges?.length ?? 0);
      if (!this.drawing || this.drawing.most < size) this.drawing = this.begin(size);
      this.drawing.reset(false);
    }
    this.tie(stage?.edges ?? [], -1);
    this.show(false);
  }

  private begin(size: number): Drawing {
    return drawing(
      this.graph,
      this.host,
      { node: (node, data) => this.reduceNode(node, data), edge: (edge) => this.reduceEdge(edge) },
      { click: (node) => store.select(node === null ? null : (this.uidOf.get(node) ?? null)), hover: (node) => this.hover(node) },
      size,
    );
  }

  tie(edges: [number, number][], version: number): void {
    if (version === this.edgesShown) return;
    this.graph.clearEdges();
    for (const [a, b] of edges) {
      if (a !== b && this.graph.hasNode(a) && this.graph.hasNode(b)) this.graph.mergeEdge(String(a), String(b));
    }
    this.edgesShown = version;
  }

  /** Colours, names and messages of the shown moment. */
  show(animate: boolean): void {
    const of = categoryOf(this.by);
    const holders = store.holders();
    const num = this.graph.order;
    const paper = variable("stage");
    this.uidOf.clear();
    this.slotOf.clear();
    for (const [slot, uid] of holders) {
      this.uidOf.set(String(slot), uid);
      this.slotOf.set(uid, String(slot));
    }
    const labelled = num <= 60;
    this.speaking.clear();
    for (const kind of ["messages", "calls"] as const) {
      for (const row of store.rowsNow(kind)) {
        const slot = this.slotOf.get(row.uid);
        if (slot !== undefined) this.speaking.add(slot);
      }
    }
    this.graph.updateEachNodeAttributes((node, attributes) => {
      const index = of(Number(node));
      const uid = this.uidOf.get(node);
      const here = index >= 0 && uid !== undefined;
      attributes.color = here ? colourOf(index) : mixed(paper, variable("line"), 0.8);
      attributes.label = here && (labelled || uid === store.selected) ? store.name(uid) : "";
      attributes.here = here;
      attributes.uid = uid;
      return attributes;
    });
    if (animate) this.send();
    this.drawing?.refresh();
    this.animate();
  }

  redraw(): void {
    this.drawing?.themed();
    this.show(false);
  }

  resize(): void {
    const { clientWidth: width, clientHeight: height } = this.element;
    if (!width || !height) return;
    const ratio = devicePixelRatio || 1;
    this.canvas.width = width * ratio;
    this.canvas.height = height * ratio;
    this.drawing?.resize();
  }

  reset(): void {
    this.drawing?.reset(true);
  }

  private size(num: number): number {
    return num <= 16 ? 13 : num <= 60 ? 10 : num <= 150 ? 7 : num <= 400 ? 5 : num <= 1200 ? 3.4 : 2.4;
  }

  private hover(node: string | null): void {
    this.hovered = node;
    this.element.classList.toggle("pointing", node !== null);
    this.drawing?.refresh();
  }

  private get focus(): string | null {
    if (this.hovered !== null) return this.hovered;
    return store.selected === null ? null : (this.slotOf.get(store.selected) ?? null);
  }

  private reduceNode(node: string, data: Record<string, any>): Record<string, any> {
    const focus = this.focus;
    const result = { ...data };
    const chosen = node === focus;
    const near = focus === null || chosen || this.graph.areNeighbors(node, focus) || this.graph.size === 0;
    const speaks = this.speaking.has(node);
    const paper = variable("stage");
    result.borderColor = chosen ? variable("ink") : speaks ? mixed(data.color, paper, 0.45) : paper;
    if (!data.here) result.size = data.size * 0.45;
    else if (speaks) result.size = data.size * 1.3;
    if (chosen) {
      result.size = Math.max(result.size * 1.15, 6);
      result.label = data.uid === undefined ? "" : store.name(data.uid);
      result.forceLabel = true;
      result.zIndex = 2;
    }
    if (!near) {
      result.color = mixed(data.color, paper, 0.72);
      result.label = "";
    }
    return result;
  }

  private reduceEdge(edge: string): Record<string, any> {
    const focus = this.focus;
    const paper = variable("stage");
    const thick = this.graph.size > 1500 ? 0.4 : this.graph.size > 400 ? 0.7 : 1;
    const line = mixed(paper, variable("ink-soft"), this.graph.size > 1500 ? 0.16 : 0.32);
    if (focus === null) return { color: line, size: thick };
    if (this.graph.hasExtremity(edge, focus)) return { color: mixed(paper, variable("ink"), 0.7), size: thick * 1.8, zIndex: 1 };
    return { color: mixed(paper, line, 0.4), size: thick };
  }

  // ---- messages that travel ------------------------------------------------------------

  private send(): void {
    const start = performance.now();
    for (const row of store.rowsNow("messages")) {
      const from = this.slotOf.get(row.uid);
      if (from === undefined) continue;
      const channel = store.run.channels.indexOf(row.channel ?? "");
      for (const uid of row.to ?? []) {
        const to = this.slotOf.get(uid);
        if (to === undefined || this.pulses.length >= MOST_PULSES) continue;
        this.pulses.push({ from, to, start: start + row.clock[3] * 180, colour: colourOf(channel + 3) });
      }
    }
  }

  private animate(): void {
    if (this.frame === 0) this.frame = requestAnimationFrame((time) => this.draw(time));
  }

  private draw(time: number): void {
    this.frame = 0;
    const pen = this.canvas.getContext("2d");
    if (!pen || !this.drawing) return;
    const ratio = devicePixelRatio || 1;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.pulses = this.pulses.filter((pulse) => time - pulse.start < FLIGHT_MS * 1.6);
    for (const pulse of this.pulses) this.drawPulse(pen, pulse, (time - pulse.start) / FLIGHT_MS);
    if (this.pulses.length) this.animate();
  }

  private drawPulse(pen: CanvasRenderingContext2D, pulse: Pulse, share: number): void {
    if (share < 0 || !this.graph.hasNode(pulse.from) || !this.graph.hasNode(pulse.to)) return;
    const a = this.drawing!.place(this.graph.getNodeAttributes(pulse.from) as { x: number; y: number });
    const b = this.drawing!.place(this.graph.getNodeAttributes(pulse.to) as { x: number; y: number });
    const fade = share < 1 ? 1 : Math.max(0, 1 - (share - 1) / 0.6);
    const head = ease(Math.min(share, 1));
    const tail = ease(Math.min(Math.max(share - 0.35, 0), 1));
    pen.strokeStyle = faded(pulse.colour, 0.75 * fade);
    pen.lineWidth = 2;
    pen.lineCap = "round";
    pen.beginPath();
    pen.moveTo(a.x + (b.x - a.x) * tail, a.y + (b.y - a.y) * tail);
    pen.lineTo(a.x + (b.x - a.x) * head, a.y + (b.y - a.y) * head);
    pen.stroke();
    pen.fillStyle = faded(pulse.colour, fade);
    pen.beginPath();
    pen.arc(a.x + (b.x - a.x) * head, a.y + (b.y - a.y) * head, 3.5, 0, 7);
    pen.fill();
  }
}

function ease(share: number): number {
  return share < 0.5 ? 2 * share * share : 1 - (2 - 2 * share) ** 2 / 2;
}

/** Places on a ring; in a disc of equal density where there are many. */
function circle(num: number): [number, number][] {
  const places: [number, number][] = [];
  for (let i = 0; i < num; i++) {
    if (num <= 48) {
      const angle = (2 * Math.PI * i) / num - Math.PI / 2;
      places.push([Math.cos(angle), -Math.sin(angle)]);
    } else {
      const radius = Math.sqrt((i + 0.5) / num);
      const angle = i * Math.PI * (3 - Math.sqrt(5));
      places.push([radius * Math.cos(angle), radius * Math.sin(angle)]);
    }
  }
  return places;
}

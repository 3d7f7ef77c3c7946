import "./style.css";

import { About } from "./about";
import { get, mayWrite, post } from "./api";
import { Charts } from "./charts";
import { forgetColours, isDark, onTheme } from "./colours";
import { dot, fill, h } from "./dom";
import { Inspector } from "./inspector";
import { colourings, legend, plain } from "./kinds";
import type { Colouring } from "./kinds";
import { LogPanel } from "./log";
import { Network } from "./network";
import { store } from "./store";
import { Transport, faster, follow, step, toggle } from "./transport";
import { World } from "./world";

const POLL_MS = 1000;
const REST_MS = 5000;
const READ_MS = 120; // nobody reads a log that changes faster
const KEYS: [string, string][] = [
  ["space", "play or pause"],
  ["← →", "one moment back or on; with shift ten"],
  ["Home End", "first, last moment"],
  ["+ −", "faster, slower"],
  ["j", "jump to a step"],
  ["/", "search"],
  ["1 2 3", "agent, log, run"],
  ["g w", "network, world"],
  ["0", "whole network"],
  ["f", "follow a running run"],
  ["t", "light or dark"],
  ["Esc", "nobody"],
];

class Page {
  private network = new Network();
  private world = new World();
  private charts = new Charts();
  private transport = new Transport();
  private inspector = new Inspector();
  private log = new LogPanel();
  private about = new About();
  private status = h("span", { class: "status" });
  private views = h("div", { class: "switch", role: "tablist", "aria-label": "Picture" });
  private tabs = h("nav", { class: "tabs", role: "tablist" });
  private legend = h("div", { class: "legend" });
  private colour = h("select", { "aria-label": "Colour by", title: "Colour by" });
  private replicate = h("select", { "aria-label": "Replicate", title: "Replicate" });
  private note = h("div", { class: "stage-note" });
  private help = h("dialog", { class: "help" });
  private view: "network" | "world" = "network";
  private chosenView = false;
  private tab = 0;
  private dirty = true;
  private moved = false;
  private drawn = false;
  private unlisted = false;
  private listed = 0;

  constructor(private root: HTMLElement) {}

  start(): void {
    document.title = `${store.run.name} · societylab`;
    this.build();
    store.on(["time", "data", "selection", "stage", "play"], () => (this.dirty = true));
    store.on("time", () => (this.moved = true));
    store.on("stage", () => this.stageChanged());
    store.on("series", () => this.charts.build());
    store.on("data", () => this.charts.build());
    store.on("state", () => this.stateChanged());
    store.on("selection", () => {
      if (store.selected !== null && this.tab === 2) this.choose(0);
    });
    onTheme(() => this.themed());
    document.addEventListener("keydown", (event) => this.key(event));
    requestAnimationFrame((time) => this.loop(time));
  }

  // ---- once ----------------------------------------------------------------------------

  private build(): void {
    const { run } = store;
    ["Network", "World"].forEach((label, index) => {
      const button = h("button", { type: "button", role: "tab" }, label);
      button.addEventListener("click", () => this.look(index ? "world" : "network", true));
      this.views.append(button);
    });
    ["Agent", "Log", "Run"].forEach((label, index) => {
      const button = h("button", { type: "button", role: "tab", title: `${label} (${index + 1})` }, label);
      button.addEventListener("click", () => this.choose(index));
      this.tabs.append(button);
    });
    this.colour.addEventListener("change", () => this.recolour(this.colour.value as Colouring));
    run.seeds.forEach((seed, index) => this.replicate.append(h("option", { value: index }, `seed ${seed}`)));
    this.replicate.hidden = run.seeds.length < 2;
    this.replicate.addEventListener("change", () => void this.other(Number(this.replicate.value)));
    fill(
      this.root,
      h(
        "header",
        { class: "top" },
        h("h1", {}, plain(run.name)),
        h("p", { class: "question", title: run.about }, run.about),
        this.status,
        this.replicate,
        h("button", { type: "button", class: "plain", title: "Light or dark (T)", "aria-label": "Light or dark", on: { click: () => this.switchTheme() } }, "◐"),
        h("button", { type: "button", class: "plain", title: "Keys (?)", "aria-label": "Keys", on: { click: () => this.help.showModal() } }, "?"),
      ),
      h(
        "main",
        {},
        h(
          "div",
          { class: "left" },
          h("div", { class: "stage" }, this.network.element, this.world.element, h("div", { class: "stage-top" }, this.views, this.colour), this.legend, this.note),
          this.charts.element,
        ),
        h("aside", { class: "right" }, this.tabs, this.inspector.element, this.log.element, this.about.element),
      ),
      this.transport.element,
      this.help,
    );
    fill(
      this.help,
      h("h2", {}, "Keys"),
      h("dl", {}, ...KEYS.map(([key, what]) => h("div", {}, h("dt", {}, ...key.split(" ").map((one) => h("kbd", {}, one))), h("dd", {}, what)))),
      h("form", { method: "dialog" }, h("button", { class: "primary" }, "Close")),
    );
    this.help.addEventListener("click", (event) => {
      if (event.target === this.help) this.help.close();
    });
    this.choose(store.state.rows.messages + store.state.rows.calls > 0 ? 1 : 0);
    this.stageChanged();
    this.stateChanged();
    this.charts.build();
    this.transport.show();
  }

  // ---- changes -------------------------------------------------------------------------

  private stageChanged(): void {
    const kinds = colourings();
    const by = kinds.includes(this.colour.value as Colouring) ? (this.colour.value as Colouring) : kinds[0]!;
    fill(this.colour, ...kinds.map((kind) => h("option", { value: kind }, `by ${kind}`)));
    this.colour.hidden = kinds.length < 2;
    this.colour.value = by;
    this.recolour(by);
    if (this.network.fits) this.network.build();
    const label = this.world.label;
    const [net, world] = [...this.views.children] as HTMLButtonElement[];
    net!.hidden = !this.network.fits;
    world!.hidden = label === "";
    fill(world!, label || "World");
    this.views.hidden = net!.hidden || world!.hidden;
    const wanted = label === "World" || label === "Places" || net!.hidden ? "world" : "network";
    if (!this.chosenView || (label === "" && this.view === "world")) this.look(label === "" ? "network" : wanted, false);
    else this.look(this.view, false);
    this.charts.build(true);
  }

  private stateChanged(): void {
    const { state } = store;
    const words: Record<string, string> = { ok: "finished", limit: "stopped by a limit" };
    fill(this.status, dot("currentColor"), words[state.status] ?? state.status);
    this.status.className = `status ${state.status}`;
    this.status.title = state.reason;
    const trace = state.trace;
    if (trace && ["starting", "running"].includes(trace.status)) {
      const share = trace.total ? ` ${Math.floor((100 * trace.tick) / trace.total)} %` : "";
      fill(this.note, `retracing who was who …${share}`);
    } else if (trace?.status === "waiting" && mayWrite) {
      const button = h("button", { type: "button", class: "primary" }, "Retrace");
      button.addEventListener("click", () => void post("trace", { replicate: store.replicate }));
      fill(this.note, `${trace.note} `, button);
    } else fill(this.note, trace?.status === "failed" ? trace.note : "");
    this.note.hidden = !this.note.childNodes.length;
    this.about.show();
    this.transport.show();
  }

  private async other(replicate: number): Promise<void> {
    store.replicate = replicate;
    store.playing = false;
    store.selected = null;
    this.world.forget();
    await store.reload();
  }

  private recolour(by: Colouring): void {
    this.network.by = this.world.by = this.inspector.by = this.log.by = by;
    this.dirty = true;
  }

  private look(view: "network" | "world", chosen: boolean): void {
    this.view = view;
    this.chosenView ||= chosen;
    this.network.element.hidden = view !== "network";
    this.world.element.hidden = view !== "world";
    [...this.views.children].forEach((button, index) => button.setAttribute("aria-selected", String((index === 1) === (view === "world"))));
    if (view === "network") this.network.resize();
    this.dirty = true;
  }

  private choose(tab: number): void {
    this.tab = tab;
    [this.inspector.element, this.log.element, this.about.element].forEach((element, index) => (element.hidden = index !== tab));
    [...this.tabs.children].forEach((button, index) => button.setAttribute("aria-selected", String(index === tab)));
    this.inspector.show(true);
    this.log.show(true);
    this.about.show();
  }

  private switchTheme(): void {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    this.themed();
  }

  private themed(): void {
    forgetColours();
    this.network.redraw();
    this.charts.build(true);
    this.inspector.show(true);
    this.log.show(true);
    this.dirty = true;
  }

  // ---- every frame ---------------------------------------------------------------------

  private loop(time: number): void {
    this.transport.tick(time);
    if (this.dirty) {
      this.dirty = false;
      this.draw();
      this.unlisted = true;
    }
    if (this.unlisted && (!store.playing || time - this.listed >= READ_MS)) {
      this.unlisted = false;
      this.listed = time;
      this.list();
    }
    requestAnimationFrame((next) => this.loop(next));
  }

  private draw(): void {
    const animate = this.moved && store.speed <= 16;
    this.moved = false;
    const edges = store.snapshot?.edges ?? -1;
    if (edges > 0) void this.ties(edges);
    if (this.view === "network") this.network.show(animate);
    else this.world.show();
    this.charts.show();
  }

  /** What is read rather than watched. */
  private list(): void {
    const shown = this.world.label === "World" && this.view === "world" ? [] : legend(this.network.by);
    fill(
      this.legend,
      ...shown
        .filter((one) => one.count > 0 || shown.length <= 6)
        .slice(0, 12)
        .map((one) => h("span", { class: "entry" }, dot(one.colour), one.label, h("span", { class: "count" }, String(one.count)))),
    );
    this.inspector.show();
    this.log.show();
    if (!this.drawn && store.numSlots) {
      this.drawn = true;
      performance.mark("shown"); // what benchmarks/view.py calls loaded
    }
  }

  private fetched = new Map<number, [number, number][]>();

  private async ties(version: number): Promise<void> {
    if (!this.fetched.has(version)) {
      this.fetched.set(version, []);
      const found = await get<{ edges: [number, number][] }>("edges", { replicate: store.replicate, version });
      this.fetched.set(version, found.edges);
    }
    const known = this.fetched.get(version)!;
    if (known.length && store.snapshot?.edges === version) {
      this.network.tie(known, version);
      this.network.show(false);
    }
  }

  // ---- keys ----------------------------------------------------------------------------

  private key(event: KeyboardEvent): void {
    const target = event.target as HTMLElement;
    const typing = target.matches("textarea, select, input:not([type=range])");
    if (event.ctrlKey || event.metaKey || event.altKey || typing || this.help.open) return;
    const act = this.action(event);
    if (!act) return;
    event.preventDefault();
    act();
  }

  private action(event: KeyboardEvent): (() => void) | undefined {
    const far = event.shiftKey ? 10 : 1;
    const actions: Record<string, () => void> = {
      " ": toggle,
      ArrowLeft: () => step(-far),
      ArrowRight: () => step(far),
      Home: () => step(-Infinity),
      End: () => step(Infinity),
      "+": () => faster(1),
      "=": () => faster(1),
      "-": () => faster(-1),
      "1": () => this.choose(0),
      "2": () => this.choose(1),
      "3": () => this.choose(2),
      g: () => this.network.fits && this.look("network", true),
      w: () => this.world.label && this.look("world", true),
      "0": () => this.network.reset(),
      f: () => store.live && follow(),
      t: () => this.switchTheme(),
      j: () => document.querySelector<HTMLInputElement>("input.jump")?.focus(),
      "/": () => {
        this.choose(1);
        this.log.search.focus();
      },
      "?": () => this.help.showModal(),
      Escape: () => store.select(null),
    };
    return actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  }
}

async function main(): Promise<void> {
  const root = document.getElementById("app")!;
  try {
    await store.open();
  } catch (error) {
    fill(root, h("p", { class: "fatal", role: "alert" }, `The run cannot be shown: ${(error as Error).message}`));
    return;
  }
  new Page(root).start();
  for (;;) {
    const waiting = store.live || ["starting", "running"].includes(store.state.trace?.status ?? "");
    await new Promise((resume) => setTimeout(resume, waiting ? POLL_MS : REST_MS));
    try {
      await store.refresh();
      document.body.classList.remove("lost");
    } catch {
      document.body.classList.add("lost");
    }
  }
}

void main();

// Play, pause, step, speed, and the line of moments.

import { dot, fill, h } from "./dom";
import { store } from "./store";

const SPEEDS = [0.5, 1, 2, 4, 8, 16, 32, 64, 128];

export class Transport {
  readonly play = button("Play", "▶", () => toggle(), "play");
  private slider = h("input", { type: "range", min: 0, max: 0, value: 0, step: 1, "aria-label": "Moment" });
  private label = h("output", { class: "moment" });
  private live = h("button", { class: "live", type: "button", title: "Follow the run (F)" }, dot("currentColor"), "Live");
  private speed = h("button", { class: "speed", type: "button", title: "Moments a second (+ and -)" });
  private box = h("input", { class: "jump", type: "text", inputmode: "numeric", "aria-label": "Jump to a step", title: "Jump: a moment, or generation.episode.step", placeholder: "jump" });
  readonly element = h(
    "footer",
    { class: "transport" },
    h(
      "div",
      { class: "buttons" },
      button("First moment (Home)", "⏮", () => store.go(0)),
      button("One back (←)", "‹", () => step(-1), "step"),
      this.play,
      button("One on (→)", "›", () => step(1), "step"),
      button("Last moment (End)", "⏭", () => store.go(store.moments.length - 1)),
    ),
    this.slider,
    this.label,
    this.box,
    this.speed,
    this.live,
  );
  private last = 0;
  private carried = 0;

  constructor() {
    this.slider.addEventListener("input", () => {
      pause();
      store.go(Number(this.slider.value));
    });
    this.speed.addEventListener("click", () => faster(1, true));
    this.live.addEventListener("click", () => follow());
    this.box.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.jump();
      if (event.key === "Escape") this.box.blur();
    });
    store.on(["time", "data", "play", "state"], () => this.show());
  }

  show(): void {
    const last = Math.max(store.moments.length - 1, 0);
    this.slider.max = String(last);
    this.slider.value = String(store.now);
    this.slider.style.setProperty("--share", `${last ? (100 * store.now) / last : 0}%`);
    this.slider.setAttribute("aria-valuetext", momentName());
    fill(this.label, momentName());
    fill(this.play, store.playing ? "❚❚" : "▶");
    this.play.title = store.playing ? "Pause (space)" : "Play (space)";
    fill(this.speed, `${store.speed}×`);
    this.live.hidden = !store.live;
    this.live.classList.toggle("on", store.following);
  }

  /** Called once a frame: moves on when playing. */
  tick(time: number): void {
    const spent = Math.min((time - this.last) / 1000, 0.25);
    this.last = time;
    if (!store.playing) return;
    this.carried += spent * store.speed;
    const steps = Math.floor(this.carried);
    if (steps < 1) return;
    this.carried -= steps;
    const end = store.moments.length - 1;
    if (store.now >= end) {
      if (!store.live) pause();
      return;
    }
    store.go(store.now + steps);
  }

  private jump(): void {
    const parts = this.box.value.trim().split(/[.\s,]+/).map(Number);
    if (parts.length === 0 || parts.some((part) => !Number.isFinite(part))) return;
    pause();
    if (parts.length === 1) {
      const single = store.run.generations <= 1;
      store.go(single ? store.moment([0, Infinity, Infinity].map((v, i) => (i === 2 ? parts[0]! : i === 1 ? lastEpisode(parts[0]!) : v))) : parts[0]!);
    } else {
      const clock = parts.length === 2 ? [parts[0]!, 0, parts[1]!] : parts;
      store.go(store.moment(clock));
    }
    this.box.value = "";
    this.box.blur();
  }
}

/** The episode in which a step number of a run without generations is found. */
function lastEpisode(step: number): number {
  const found = store.moments.find((clock) => clock[2] === step);
  return found ? found[1] : 0;
}

export function momentName(clock: readonly number[] = store.clock): string {
  const [generation, episode, step] = clock as [number, number, number];
  const parts = [`step ${step}`];
  if (episode > 0 || store.moments.some((one) => one[1] > 0)) parts.unshift(`episode ${episode}`);
  if (store.run.generations > 1) parts.unshift(`generation ${generation}`);
  return parts.join(" · ");
}

export function toggle(): void {
  if (store.playing) pause();
  else {
    if (store.now >= store.moments.length - 1 && !store.live) store.go(0);
    store.playing = true;
    store.following = false;
    store.tell("play");
  }
}

export function pause(): void {
  store.playing = false;
  store.following = false;
  store.tell("play");
}

export function step(by: number): void {
  pause();
  store.go(store.now + by);
}

export function follow(): void {
  store.playing = false;
  store.following = true;
  store.go(store.moments.length - 1);
  store.tell("play");
}

export function faster(by: number, around = false): void {
  const at = SPEEDS.indexOf(store.speed) + by;
  const index = around ? at % SPEEDS.length : Math.min(Math.max(at, 0), SPEEDS.length - 1);
  store.speed = SPEEDS[index]!;
  store.tell("play");
}

function button(title: string, text: string, act: () => void, kind = ""): HTMLButtonElement {
  return h("button", { type: "button", title, "aria-label": title, class: kind, on: { click: act } }, text);
}

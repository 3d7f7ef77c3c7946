// Everything that was said, answered and done, up to the shown moment; and a search over the run.

import { get } from "./api";
import type { Log as Found, LogRow } from "./api";
import { fill, h } from "./dom";
import { categoryOf, colourOf, plain } from "./kinds";
import type { Colouring } from "./kinds";
import { KINDS, compare, lastAt, store } from "./store";
import type { Kind } from "./store";
import { momentName, pause } from "./transport";

const MOST_SHOWN = 160;
const MOST_IN_PLAY = 48; // more than fits on a screen; laying out all of them costs frames
const LABELS: Record<Kind, string> = { messages: "Messages", calls: "Answers", events: "Events" };

export class LogPanel {
  by: Colouring = "group";
  readonly search = h("input", { type: "search", placeholder: "Search the whole run", "aria-label": "Search" });
  private chips = new Map<Kind, HTMLButtonElement>();
  private kinds = new Set<Kind>(KINDS);
  private list = h("div", { class: "rows", role: "log", "aria-live": "off" });
  private note = h("p", { class: "note" });
  readonly element: HTMLElement;
  private results: { kind: Kind; row: LogRow }[] | null = null;
  private asked = 0;
  private stick = true;
  private key = "";

  constructor() {
    const bar = h("div", { class: "chips" });
    for (const kind of KINDS) {
      const chip = h("button", { type: "button", class: "chip on", "aria-pressed": "true" }, LABELS[kind]);
      chip.addEventListener("click", () => this.toggle(kind));
      this.chips.set(kind, chip);
      bar.append(chip);
    }
    this.element = h("section", { class: "log" }, h("div", { class: "bar" }, this.search, bar), this.note, this.list);
    let timer = 0;
    this.search.addEventListener("input", () => {
      clearTimeout(timer);
      timer = window.setTimeout(() => void this.find(), 180);
    });
    this.search.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        this.search.value = "";
        this.search.blur();
        void this.find();
      }
    });
    this.list.addEventListener("scroll", () => {
      this.stick = this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight < 40;
    });
  }

  show(force = false): void {
    if (!this.element.isConnected || this.element.hidden) return;
    for (const [kind, chip] of this.chips) chip.hidden = store.state.rows[kind] === 0;
    if (this.results) this.showResults();
    else this.showRecent(force);
  }

  private toggle(kind: Kind): void {
    if (this.kinds.has(kind) && this.kinds.size > 1) this.kinds.delete(kind);
    else this.kinds.add(kind);
    for (const [name, chip] of this.chips) {
      chip.classList.toggle("on", this.kinds.has(name));
      chip.setAttribute("aria-pressed", String(this.kinds.has(name)));
    }
    void this.find();
  }

  private showRecent(force: boolean): void {
    const clock = store.clock;
    const most = store.playing ? MOST_IN_PLAY : MOST_SHOWN;
    const picked: { kind: Kind; row: LogRow }[] = [];
    for (const kind of this.kinds) {
      const rows = store.logs[kind];
      const end = lastAt(rows, clock, (row) => row.clock) + 1;
      for (const row of rows.slice(Math.max(end - most, 0), end)) picked.push({ kind, row });
    }
    picked.sort((a, b) => compare(a.row.clock, b.row.clock) || a.row.clock[3] - b.row.clock[3] || KINDS.indexOf(a.kind) - KINDS.indexOf(b.kind) || a.row.row - b.row.row);
    const shown = picked.slice(-most);
    const key = shown.length ? `${shown[0]!.row.row}/${shown.at(-1)!.kind}${shown.at(-1)!.row.row}/${shown.length}/${store.clock.join(".")}` : "none";
    if (!force && key === this.key) return;
    this.key = key;
    fill(this.note, "");
    this.draw(shown, "Nothing has been said or done yet.");
    if (this.stick || store.playing) this.list.scrollTop = this.list.scrollHeight;
  }

  private async find(): Promise<void> {
    const search = this.search.value.trim();
    const asked = ++this.asked;
    if (!search) {
      this.results = null;
      this.stick = true;
      this.show(true);
      return;
    }
    const found = await Promise.all(
      [...this.kinds].map(async (kind) => {
        const answer = await get<Found>("log", { kind, replicate: store.replicate, search });
        return answer.rows.map((row) => ({ kind, row }));
      }),
    );
    if (asked !== this.asked) return;
    this.results = found.flat().sort((a, b) => compare(a.row.clock, b.row.clock) || a.row.row - b.row.row);
    this.showResults();
    this.list.scrollTop = 0;
  }

  private showResults(): void {
    const results = this.results ?? [];
    const most = results.slice(0, 400);
    fill(this.note, results.length > most.length ? `${results.length} found, the first ${most.length} shown` : `${results.length} found`);
    this.draw(most, "Nothing in this run contains that.");
  }

  private draw(rows: { kind: Kind; row: LogRow }[], empty: string): void {
    if (!rows.length) {
      fill(this.list, h("p", { class: "empty" }, empty));
      return;
    }
    const of = categoryOf(this.by);
    const parts: Node[] = [];
    let before = "";
    for (const { kind, row } of rows) {
      const when = momentName(row.clock);
      if (when !== before) parts.push(h("h3", { class: compare(row.clock, store.clock) === 0 ? "when here" : "when" }, when));
      before = when;
      parts.push(this.row(kind, row, of));
    }
    fill(this.list, ...parts);
  }

  private row(kind: Kind, row: LogRow, of: (slot: number) => number): HTMLElement {
    const person = store.people.get(row.uid);
    const slot = person?.slot ?? row.uid;
    const mark = h("span", { class: "dot" });
    mark.style.backgroundColor = row.uid < 0 ? "transparent" : colourOf(of(slot));
    const heard = row.to?.length === 1 ? ` to ${store.name(row.to[0]!)}` : row.to?.length ? ` to ${row.to.length}` : "";
    const what = kind === "messages" ? `${row.channel ?? ""}${heard}` : kind === "calls" ? plain(row.purpose ?? "") : plain(row.kind ?? "");
    const element = h(
      "button",
      { type: "button", class: `row ${kind}${row.status === "error" ? " error" : ""}` },
      h("span", { class: "who" }, mark, row.uid < 0 ? "" : store.name(row.uid), h("span", { class: "what" }, what)),
      h("span", { class: "text" }, row.text),
    );
    element.addEventListener("click", () => {
      pause();
      store.go(store.moment(row.clock));
      if (row.uid >= 0) store.select(row.uid);
    });
    return element;
  }
}

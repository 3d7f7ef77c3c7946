// Time series as small multiples; bands are intervals over replicates. A click goes to the moment.

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

import { faded, variable } from "./colours";
import { h, fill, onSize } from "./dom";
import { categories, colourOf, plain } from "./kinds";
import { store } from "./store";
import type { Band } from "./api";

interface Line {
  label: string;
  band: Band;
  colour: () => string;
}

interface Card {
  title: string;
  lines: Line[];
  ends: boolean;
}

interface Shown {
  plot: uPlot;
  now: HTMLElement;
  value: HTMLElement;
  card: Card;
  x: number[];
}

const MOST_PARTS = 6;
const WIDTH = 262;
const HEIGHT = 118;

export class Charts {
  readonly element = h("div", { class: "charts", "aria-label": "Time series" });
  private shown: Shown[] = [];
  private key = "";

  constructor() {
    onSize(this.element, () => this.fit());
  }

  build(force = false): void {
    const cards = makeCards();
    const key = `${cards.map((card) => card.title).join("|")}/${store.stage?.groups.length ?? 0}`;
    if (!force && key === this.key) {
      this.update(cards);
      return;
    }
    this.key = key;
    for (const { plot } of this.shown) plot.destroy();
    this.shown = [];
    fill(this.element);
    if (!cards.length) fill(this.element, h("p", { class: "empty" }, "Nothing has been measured yet."));
    for (const card of cards) this.shown.push(this.make(card));
    this.fit();
    this.show();
  }

  private update(cards: Card[]): void {
    cards.forEach((card, index) => {
      const shown = this.shown[index]!;
      const [x, data] = dataOf(card);
      shown.card = card;
      shown.x = x;
      shown.plot.setData(data);
    });
    this.show();
  }

  /** Move the line that marks the shown moment, and the values beside the titles. */
  show(): void {
    const now = store.now;
    for (const { plot, now: line, value, card, x } of this.shown) {
      const left = plot.valToPos(now, "x");
      line.style.transform = `translateX(${Number.isFinite(left) ? left : 0}px)`;
      let index = lastBefore(x, now);
      const first = card.lines[0]!;
      while (index > 0 && first.band.mean[index] == null) index--;
      fill(value, card.lines.length > 1 ? "" : number(first.band.mean[index] ?? null));
    }
  }

  private fit(): void {
    const room = this.element.clientWidth - 28;
    const count = this.shown.length;
    if (!room || !count) return;
    const gap = 12;
    const fitting = Math.max(Math.floor((room + gap) / (WIDTH + gap)), 1);
    const width = Math.floor((room - gap * (Math.min(fitting, count) - 1)) / Math.min(fitting, count)) - 26;
    for (const { plot } of this.shown) plot.setSize({ width: Math.min(width, 420), height: HEIGHT });
    this.show();
  }

  private make(card: Card): Shown {
    const value = h("span", { class: "value" });
    const holder = h("div", { class: "plot" });
    const key = card.lines.length > 1
      ? h("span", { class: "key" }, ...card.lines.slice(0, 4).map((line) => swatch(line)))
      : value;
    this.element.append(
      h("figure", { class: "chart" }, h("figcaption", {}, h("span", { class: "title", title: card.title }, card.title), key), holder),
    );
    const [x, data] = dataOf(card);
    const now = h("div", { class: "marker" });
    const plot = new uPlot(optionsOf(card, now), data, holder);
    return { plot, now, value, card, x };
  }
}

function swatch(line: Line): HTMLElement {
  const mark = h("span", { class: "dot" });
  mark.style.backgroundColor = line.colour();
  return h("span", { class: "swatch", title: line.label }, mark, line.label);
}

function optionsOf(card: Card, now: HTMLElement): uPlot.Options {
  const axis = () => variable("ink-faint");
  const grid = () => variable("grid");
  const series: uPlot.Series[] = [{}];
  const bands: uPlot.Band[] = [];
  for (const line of card.lines) {
    const at = series.length;
    series.push({ stroke: line.colour, width: 1.5, points: { show: false }, spanGaps: true });
    if (line.band.low && line.band.high) {
      series.push({ stroke: "transparent", width: 0, points: { show: false }, spanGaps: true });
      series.push({ stroke: "transparent", width: 0, points: { show: false }, spanGaps: true });
      bands.push({ series: [at + 2, at + 1], fill: () => faded(line.colour(), 0.18) });
    }
  }
  return {
    width: WIDTH,
    height: HEIGHT,
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, points: { show: false }, y: false, sync: { key: "moments" } },
    scales: { x: { time: false }, y: { range: (_, low, high) => spread(low, high) } },
    series,
    bands,
    axes: [
      {
        stroke: axis, size: 20, gap: 3, font: "10px system-ui", grid: { show: false }, ticks: { show: false },
        space: 56, values: (_, splits) => splits.map((at) => momentLabel(at)),
      },
      {
        stroke: axis, size: 38, gap: 4, font: "10px system-ui", grid: { stroke: grid, width: 1 }, ticks: { show: false },
        space: 30, values: (_, splits) => splits.map((at) => number(at)),
      },
    ],
    hooks: {
      init: [
        (plot) => {
          plot.over.append(now);
          plot.over.addEventListener("click", () => {
            const at = plot.posToVal(plot.cursor.left ?? 0, "x");
            if (Number.isFinite(at)) store.go(at);
          });
        },
      ],
    },
  };
}

function spread(low: number | null, high: number | null): [number, number] {
  if (low === null || high === null || !Number.isFinite(low) || !Number.isFinite(high)) return [0, 1];
  if (low === high) return [low - (Math.abs(low) || 1) * 0.5, high + (Math.abs(high) || 1) * 0.5];
  const space = (high - low) * 0.08;
  return [low >= 0 && low - space < 0 ? 0 : low - space, high + space];
}

function momentLabel(at: number): string {
  const clock = store.moments[Math.round(at)];
  if (!clock || at !== Math.round(at)) return "";
  return store.run.generations > 1 ? `g${clock[0]}` : String(clock[2]);
}

function makeCards(): Card[] {
  const { series, ends } = store.series;
  const cards: Card[] = [];
  const names = Object.keys(series);
  const base = (name: string) => name.replace(/^generation\//, "");
  const shares = new Map<string, string[]>();
  for (const name of names) {
    const match = /^(?:generation\/)?types\/(.+)\[(\d+)\]$/.exec(name);
    if (match) shares.set(match[1]!, [...(shares.get(match[1]!) ?? []), name]);
  }
  for (const [group, columns] of shares) cards.push(shareCard(group, columns));
  const seen = new Set<string>();
  const ordered = [...names.filter((name) => !ends.includes(name)), ...ends];
  for (const name of ordered) {
    if (name.includes("types/") || seen.has(base(name))) continue;
    const part = /^(.+)\[(\d+)\]$/.exec(name);
    if (part) {
      const columns = ordered.filter((one) => one.startsWith(`${part[1]}[`));
      if (seen.has(base(part[1]!)) || columns.length > MOST_PARTS) continue;
      seen.add(base(part[1]!));
      const lines = columns.map((one, index) => ({ label: columns.length > 1 ? String(index) : base(one), band: series[one]!, colour: () => (columns.length > 1 ? colourOf(index) : variable("accent")) }));
      cards.push({ title: plain(base(part[1]!)), lines, ends: ends.includes(name) });
      continue;
    }
    const band = series[name]!;
    const values = band.mean.filter((value): value is number => value !== null);
    if (values.length < 2) continue;
    seen.add(base(name));
    cards.push({ title: plain(base(name)), lines: [{ label: base(name), band, colour: () => variable("accent") }], ends: ends.includes(name) });
  }
  const changes = (card: Card) => card.lines.some((line) => new Set(line.band.mean.filter((v) => v !== null)).size > 1);
  return [...cards.filter(changes), ...cards.filter((card) => !changes(card))].slice(0, 16);
}

function shareCard(group: string, columns: string[]): Card {
  const known = store.stage?.groups.find((one) => one.name === group);
  const all = categories("strategy");
  const totals = new Map<number, number>();
  for (const name of columns) {
    store.series.series[name]!.mean.forEach((value, row) => totals.set(row, (totals.get(row) ?? 0) + (value ?? 0)));
  }
  const share = (values: (number | null)[] | undefined) =>
    values?.map((value, row) => (value === null ? null : value / (totals.get(row) || 1)));
  const lines = columns.map((name, index) => {
    const label = known?.types[index] ?? `type ${index}`;
    const { mean, low, high } = store.series.series[name]!;
    const band = { mean: share(mean)!, low: share(low), high: share(high) };
    const place = Math.max(all.indexOf(label), 0);
    return { label: plain(label), band, colour: () => colourOf(known ? place : index) };
  });
  return { title: store.run.groups.length > 1 ? `strategies of ${group}` : "strategies", lines, ends: true };
}

function dataOf(card: Card): [number[], uPlot.AlignedData] {
  const x = store.series.clock.map((clock) => store.moment(clock));
  const rows: (number | null)[][] = [];
  for (const { band } of card.lines) {
    rows.push(band.mean);
    if (band.low && band.high) rows.push(band.low, band.high);
  }
  return [x, [x, ...rows] as unknown as uPlot.AlignedData];
}

function lastBefore(x: number[], at: number): number {
  let low = 0;
  let high = x.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (x[middle]! <= at) low = middle + 1;
    else high = middle;
  }
  return Math.max(low - 1, 0);
}

export function number(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  if (value !== 0 && (Math.abs(value) >= 1e6 || Math.abs(value) < 1e-3)) return value.toExponential(1);
  return String(Number(value.toPrecision(Math.abs(value) >= 1000 ? 5 : 3)));
}

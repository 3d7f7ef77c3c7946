// The world in space: pictures that it draws of itself, places where people are, or one tile each.

import { h, onSize } from "./dom";
import { faded, mixed, variable } from "./colours";
import { categoryOf, colourOf } from "./kinds";
import type { Colouring } from "./kinds";
import { store } from "./store";
import type { Snapshot } from "./api";

interface Spot {
  x: number;
  y: number;
  radius: number;
  uid: number;
}

export class World {
  readonly canvas = h("canvas", { class: "world", tabindex: -1 });
  readonly element = h("div", { class: "world-stage" }, this.canvas);
  by: Colouring = "group";

  private spots: Spot[] = [];
  private pictures = new Map<number, HTMLImageElement>();
  private frame = 0;

  constructor() {
    onSize(this.element, () => this.show());
    this.canvas.addEventListener("click", (event) => {
      const { offsetX: x, offsetY: y } = event;
      const hit = this.spots.find((spot) => Math.hypot(spot.x - x, spot.y - y) <= spot.radius + 3);
      store.select(hit ? hit.uid : null);
    });
  }

  /** What there is to show besides the network, or "" where nothing is. */
  get label(): string {
    if (store.stage?.pictures) return "World";
    if (store.places) return "Places";
    return store.numSlots > 200 ? "Tiles" : "";
  }

  show(): void {
    if (this.frame === 0) {
      this.frame = requestAnimationFrame(() => {
        this.frame = 0;
        this.draw();
      });
    }
  }

  private draw(): void {
    const { clientWidth: width, clientHeight: height } = this.element;
    if (!width || !height) return;
    const ratio = devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
    }
    const pen = this.canvas.getContext("2d")!;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.spots = [];
    if (store.stage?.pictures) this.drawPicture(pen, width, height);
    else if (store.places) this.drawPlaces(pen, width, height);
    else this.drawTiles(pen, width, height);
  }

  // ---- pictures ------------------------------------------------------------------------

  private drawPicture(pen: CanvasRenderingContext2D, width: number, height: number): void {
    const index = this.lastPicture();
    if (index === null) {
      pen.clearRect(0, 0, width, height);
      return;
    }
    const image = this.picture(store.snapshots[index]!);
    for (const next of [index + 1, index + 2, index + 3]) {
      const coming = store.snapshots[next];
      if (coming?.picture) this.picture(coming);
    }
    if (!image.complete || !image.naturalWidth) {
      image.addEventListener("load", () => this.show(), { once: true });
      return;
    }
    const space = 52;
    const scale = Math.min((width - 2 * space) / image.naturalWidth, (height - 2 * space) / image.naturalHeight);
    const [w, hh] = [image.naturalWidth * scale, image.naturalHeight * scale];
    pen.clearRect(0, 0, width, height);
    pen.imageSmoothingEnabled = scale < 2;
    pen.drawImage(image, (width - w) / 2, (height - hh) / 2, w, hh);
  }

  private lastPicture(): number | null {
    const snapshot = store.snapshot;
    if (!snapshot) return null;
    for (let i = store.snapshots.indexOf(snapshot); i >= 0; i--) if (store.snapshots[i]!.picture) return i;
    return null;
  }

  private picture(snapshot: Snapshot): HTMLImageElement {
    let image = this.pictures.get(snapshot.seq);
    if (!image) {
      image = new Image();
      image.src = `/api/picture?replicate=${store.replicate}&seq=${snapshot.seq}`;
      this.pictures.set(snapshot.seq, image);
      if (this.pictures.size > 120) this.pictures.delete(this.pictures.keys().next().value as number);
    }
    return image;
  }

  forget(): void {
    this.pictures.clear();
  }

  // ---- places --------------------------------------------------------------------------

  private drawPlaces(pen: CanvasRenderingContext2D, width: number, height: number): void {
    pen.clearRect(0, 0, width, height);
    // Before the first step nobody has been placed yet: the next snapshot shows where they begin.
    const placed = store.snapshot?.at ? store.snapshot : store.snapshots.find((item) => item.at);
    const at = placed?.at ?? [];
    const doing = placed?.doing ?? [];
    const things = placed?.things ?? [];
    const used = store.places!.map((name, index) => ({ name, index }));
    const boxes = tiled(used.length, width, height);
    const of = categoryOf(this.by);
    const holders = store.holders();
    const speaking = new Set([...store.rowsNow("messages"), ...store.rowsNow("events").filter((row) => row.kind === "said")].map((row) => row.uid));
    pen.textBaseline = "alphabetic";
    for (const place of used) {
      const box = boxes[place.index]!;
      const people = at.flatMap((where, slot) => (where === place.index ? [slot] : []));
      pen.fillStyle = people.length ? variable("card") : mixed(variable("stage"), variable("card"), 0.5);
      pen.strokeStyle = variable("line");
      pen.lineWidth = 1;
      pen.beginPath();
      pen.roundRect(box.x, box.y, box.w, box.h, 8);
      pen.fill();
      pen.stroke();
      pen.fillStyle = people.length ? variable("ink-soft") : variable("ink-faint");
      pen.font = "11px system-ui, sans-serif";
      pen.fillText(clipped(pen, place.name, box.w - 20), box.x + 10, box.y + 18);
      const lying = things[place.index]?.join(", ");
      if (lying) {
        pen.fillStyle = variable("accent");
        pen.fillText(clipped(pen, lying, box.w - 20), box.x + 10, box.y + box.h - 9);
      }
      this.drawPeople(pen, box, people, { of, holders, doing, speaking });
    }
  }

  private drawPeople(
    pen: CanvasRenderingContext2D,
    box: Box,
    people: number[],
    known: { of: (slot: number) => number; holders: Map<number, number>; doing: string[]; speaking: Set<number> },
  ): void {
    const room = box.h - 30;
    const rows = Math.max(Math.floor(room / 19), 1);
    const columns = Math.max(Math.ceil(people.length / rows), 1);
    const wide = (box.w - 16) / columns;
    people.forEach((slot, place) => {
      const uid = known.holders.get(slot) ?? slot;
      const x = box.x + 16 + Math.floor(place / rows) * wide;
      const y = box.y + 34 + (place % rows) * 19;
      const chosen = uid === store.selected;
      pen.fillStyle = colourOf(known.of(slot));
      if (known.speaking.has(uid)) {
        pen.beginPath();
        pen.fillStyle = faded(colourOf(known.of(slot)), 0.3);
        pen.arc(x, y, 9, 0, 7);
        pen.fill();
        pen.fillStyle = colourOf(known.of(slot));
      }
      pen.beginPath();
      pen.arc(x, y, 5.5, 0, 7);
      pen.fill();
      if (chosen) {
        pen.strokeStyle = variable("ink");
        pen.lineWidth = 2;
        pen.stroke();
      }
      pen.fillStyle = variable("ink");
      pen.font = `${chosen ? "600 " : ""}12px system-ui, sans-serif`;
      const name = store.name(uid);
      const space = wide - 18;
      const shown = clipped(pen, name, space);
      pen.fillText(shown, x + 11, y + 4);
      const used = pen.measureText(shown).width + 6;
      if (shown === name && space - used > 40 && known.doing[slot]) {
        pen.fillStyle = variable("ink-faint");
        pen.font = "12px system-ui, sans-serif";
        pen.fillText(clipped(pen, known.doing[slot]!, space - used), x + 11 + used, y + 4);
      }
      this.spots.push({ x, y, radius: 8, uid });
    });
  }

  // ---- tiles ---------------------------------------------------------------------------

  private drawTiles(pen: CanvasRenderingContext2D, width: number, height: number): void {
    pen.clearRect(0, 0, width, height);
    const num = store.numSlots;
    const of = categoryOf(this.by);
    const space = 54;
    const columns = Math.max(Math.ceil(Math.sqrt((num * (width - 2 * space)) / (height - 2 * space))), 1);
    const side = Math.min((width - 2 * space) / columns, (height - 2 * space) / Math.ceil(num / columns));
    const left = (width - side * columns) / 2;
    const top = (height - side * Math.ceil(num / columns)) / 2;
    const holders = num <= 20_000 ? store.holders() : null;
    const gap = side > 6 ? 1.5 : side > 3 ? 0.5 : 0;
    for (let slot = 0; slot < num; slot++) {
      const index = of(slot);
      if (index < 0) continue;
      const x = left + (slot % columns) * side;
      const y = top + Math.floor(slot / columns) * side;
      pen.fillStyle = colourOf(index);
      pen.fillRect(x, y, side - gap, side - gap);
      const uid = holders?.get(slot);
      if (uid !== undefined) {
        if (uid === store.selected) {
          pen.strokeStyle = variable("ink");
          pen.lineWidth = 2;
          pen.strokeRect(x - 1, y - 1, side - gap + 2, side - gap + 2);
        }
        this.spots.push({ x: x + side / 2, y: y + side / 2, radius: Math.max(side / 2 - 3, 0), uid });
      }
    }
  }
}

interface Box {
  x: number;
  y: number;
  w: number;
  h: number;
}

/** Boxes of equal size that fill an area, in the grid whose boxes are nearest to 5:3. */
function tiled(count: number, width: number, height: number): Box[] {
  const space = 20;
  const [top, bottom] = [54, 42];
  const gap = 10;
  height += 2 * space - top - bottom;
  let best = { columns: 1, badness: Infinity };
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const w = (width - 2 * space - gap * (columns - 1)) / columns;
    const hh = (height - 2 * space - gap * (rows - 1)) / rows;
    if (w < 90 || hh < 40) continue;
    const badness = Math.abs(Math.log(w / hh / (5 / 3))) + (rows * columns - count) * 0.05;
    if (badness < best.badness) best = { columns, badness };
  }
  const rows = Math.ceil(count / best.columns);
  const w = (width - 2 * space - gap * (best.columns - 1)) / best.columns;
  const hh = (height - 2 * space - gap * (rows - 1)) / rows;
  return Array.from({ length: count }, (_, i) => ({
    x: space + (i % best.columns) * (w + gap),
    y: top + Math.floor(i / best.columns) * (hh + gap),
    w,
    h: hh,
  }));
}

function clipped(pen: CanvasRenderingContext2D, text: string, width: number): string {
  if (pen.measureText(text).width <= width) return text;
  let end = text.length;
  while (end > 1 && pen.measureText(`${text.slice(0, end)}…`).width > width) end--;
  return `${text.slice(0, end).trimEnd()}…`;
}

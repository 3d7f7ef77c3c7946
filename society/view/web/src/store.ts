// The page's one state: what is known of the run, and which moment is shown.

import { get } from "./api";
import type { Clock, Log, LogRow, Person, Run, Series, Snapshot, Stage, State } from "./api";

export type Topic = "time" | "data" | "series" | "stage" | "state" | "selection" | "play" | "theme";
export type Kind = "messages" | "calls" | "events";
export const KINDS: readonly Kind[] = ["messages", "calls", "events"];

const MOST_KEPT = 60_000;

export function compare(a: readonly number[], b: readonly number[]): number {
  for (let i = 0; i < 3; i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Index of the last item whose clock is at or before a clock; -1 where there is none. */
export function lastAt<T>(items: readonly T[], clock: readonly number[], of: (item: T) => readonly number[]): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compare(of(items[middle] as T), clock) <= 0) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

class Store {
  run!: Run;
  state!: State;
  replicate = 0;
  moments: Clock[] = [];
  now = 0;
  playing = false;
  following = false;
  speed = 4;
  selected: number | null = null;
  series: Series = { clock: [], series: {}, ends: [] };
  stage: Stage | null = null;
  snapshots: Snapshot[] = [];
  people = new Map<number, Person>();
  children = new Map<number, number[]>();
  logs: Record<Kind, LogRow[]> = { messages: [], calls: [], events: [] };
  complete: Record<Kind, boolean> = { messages: true, calls: true, events: true };

  private shownBefore = false;
  private last: Record<Kind, number> = { messages: 0, calls: 0, events: 0 };
  private known: Record<Kind, number> = { messages: 0, calls: 0, events: 0 };
  private listeners = new Map<Topic, Set<() => void>>();
  private reading: Promise<void> | null = null;
  private epoch = 0;

  on(topics: Topic | Topic[], listener: () => void): void {
    for (const topic of Array.isArray(topics) ? topics : [topics]) {
      if (!this.listeners.has(topic)) this.listeners.set(topic, new Set());
      this.listeners.get(topic)!.add(listener);
    }
  }

  tell(topic: Topic): void {
    for (const listener of this.listeners.get(topic) ?? []) listener();
  }

  get clock(): Clock {
    return this.moments[this.now] ?? [0, 0, 0];
  }

  get live(): boolean {
    return this.state.status === "running";
  }

  /** The moment that shows a clock: the last one at or before it. */
  moment(clock: readonly number[]): number {
    return Math.max(lastAt(this.moments, clock, (item) => item), 0);
  }

  go(index: number): void {
    const to = Math.min(Math.max(Math.round(index), 0), Math.max(this.moments.length - 1, 0));
    if (to === this.now) return;
    this.now = to;
    this.tell("time");
  }

  select(uid: number | null): void {
    this.selected = uid;
    this.tell("selection");
  }

  get snapshot(): Snapshot | null {
    const index = lastAt(this.snapshots, this.clock, (item) => item.clock);
    return this.snapshots[Math.max(index, 0)] ?? null;
  }

  /** Names of the places of the shown moment, in worlds that have places. */
  get places(): string[] | null {
    for (let i = Math.max(lastAt(this.snapshots, this.clock, (item) => item.clock), 0); i >= 0; i--) {
      const places = this.snapshots[i]?.places;
      if (places) return places;
    }
    return this.snapshots.find((item) => item.places)?.places ?? null;
  }

  /** Rows of a log at exactly the shown moment (its step, all turns). */
  rowsNow(kind: Kind): LogRow[] {
    const rows = this.logs[kind];
    const clock = this.clock;
    const found: LogRow[] = [];
    for (let i = lastAt(rows, clock, (row) => row.clock); i >= 0; i--) {
      const row = rows[i]!;
      if (compare(row.clock, clock) !== 0) break;
      found.push(row);
    }
    return found.reverse();
  }

  name(uid: number): string {
    if (uid < 0) return "world";
    const known = this.people.get(uid);
    return known?.name || this.stage?.names[String(known?.slot ?? uid)] || `Agent ${uid}`;
  }

  /** Who holds each slot at the shown moment. */
  holders(): Map<number, number> {
    const snapshot = this.snapshot;
    const held = new Map<number, number>();
    if (snapshot) {
      for (let slot = 0; slot < this.numSlots; slot++) {
        if (!snapshot.alive || snapshot.alive[slot]) held.set(slot, snapshot.uid ? snapshot.uid[slot]! : slot);
      }
      return held;
    }
    for (let slot = 0; slot < this.numSlots; slot++) held.set(slot, slot);
    for (const one of this.people.values()) {
      if (compare(one.born, this.clock) > 0) continue;
      if (!one.died || compare(one.died, this.clock) > 0) held.set(one.slot, one.uid);
    }
    return held;
  }

  get numSlots(): number {
    if (this.stage) return this.stage.num_slots;
    return this.run.groups.reduce((sum, group) => sum + (Number(group.count) || 0), 0);
  }

  async open(): Promise<void> {
    [this.run, this.state] = await Promise.all([get<Run>("run"), get<State>("state")]);
    await this.reload();
  }

  /** Read the chosen replicate anew; what was said, and who was who, follow in the background. */
  async reload(): Promise<void> {
    const epoch = ++this.epoch;
    this.reading = null;
    this.moments = [];
    this.snapshots = [];
    this.shownBefore = false;
    this.stage = null;
    this.people.clear();
    this.now = 0;
    for (const kind of KINDS) {
      this.logs[kind] = [];
      this.last[kind] = this.known[kind] = 0;
      this.complete[kind] = true;
    }
    const first = Promise.all([this.readMoments(), this.readSeries(), this.readPeople(), this.readStage()]);
    const rest = Promise.all([this.readLogs(), first.then(() => this.readSnapshots())]);
    rest.catch(() => undefined); // refresh reads again what is missing, and says when it cannot
    await first;
    if (epoch !== this.epoch) return;
    this.now = this.live ? Math.max(this.moments.length - 1, 0) : 0;
    this.following = this.live;
    for (const topic of ["data", "series", "stage", "state", "time", "selection"] as Topic[]) this.tell(topic);
  }

  /** Look what is new; called again and again. */
  async refresh(): Promise<void> {
    const before = this.state;
    this.state = await get<State>("state");
    const rows = this.state.rows;
    const grown = (["calls", "messages", "events", "metrics"] as const).some((name) => rows[name] !== before.rows[name]);
    if (grown) {
      const atEnd = this.now >= this.moments.length - 1;
      await Promise.all([this.readMoments(), this.readPeople()]);
      await this.readLogs();
      if (rows.metrics !== before.rows.metrics) await this.readSeries();
      if (this.following && atEnd) this.go(this.moments.length - 1);
      this.tell("data");
    }
    if ((this.state.trace?.rows ?? 0) !== (before.trace?.rows ?? 0) || this.stage === null) {
      if (this.stage === null) await this.readStage();
      await this.readSnapshots();
    }
    this.tell("state");
  }

  private async readMoments(): Promise<void> {
    const last = this.moments.at(-1);
    const query: Record<string, string | number> = { replicate: this.replicate };
    if (last) query.after = last.join(".");
    const found = await get<{ clock: Clock[] }>("moments", query);
    this.moments.push(...found.clock);
  }

  private async readSeries(): Promise<void> {
    const replicate = this.run.seeds.length > 1 ? "all" : this.replicate;
    this.series = await get<Series>("series", { replicate });
    this.tell("series");
  }

  private async readPeople(): Promise<void> {
    const found = await get<{ people: Person[] }>("people", { replicate: this.replicate });
    this.children.clear();
    for (const one of found.people) {
      this.people.set(one.uid, one);
      for (const parent of one.parents) {
        const siblings = this.children.get(parent);
        if (siblings) siblings.push(one.uid);
        else this.children.set(parent, [one.uid]);
      }
    }
  }

  private readLogs(): Promise<void> {
    if (this.reading) return this.reading;
    const reading = this.readPages(this.epoch);
    const done = () => {
      if (this.reading === reading) this.reading = null;
    };
    reading.then(done, done);
    return (this.reading = reading);
  }

  /** Page after page of all kinds at once, shown as they come. */
  private async readPages(epoch: number): Promise<void> {
    const totals = { ...this.state.rows };
    let open = KINDS.filter((kind) => totals[kind] !== this.known[kind]);
    while (open.length) {
      const replicate = this.replicate;
      const pages = await Promise.all(open.map((kind) => get<Log>("log", { kind, replicate, after: this.last[kind] })));
      if (epoch !== this.epoch) return;
      open = open.filter((kind, index) => {
        const { rows, last, more } = pages[index]!;
        this.last[kind] = last;
        this.logs[kind].push(...rows);
        this.logs[kind].sort((a, b) => compare(a.clock, b.clock) || a.clock[3] - b.clock[3] || a.row - b.row);
        this.complete[kind] = this.logs[kind].length <= MOST_KEPT;
        if (more && this.complete[kind]) return true;
        this.known[kind] = totals[kind];
        return false;
      });
      this.tell("data");
    }
  }

  private async readStage(): Promise<void> {
    this.stage = await get<Stage | null>("stage", { replicate: this.replicate });
    if (this.stage) this.tell("stage");
  }

  private async readSnapshots(): Promise<void> {
    let after = this.snapshots.reduce((most, item) => Math.max(most, item.seq), 0);
    let added = false;
    for (;;) {
      const found = await get<{ rows: Snapshot[]; more: boolean }>("snapshots", { replicate: this.replicate, after });
      if (found.rows.length) {
        this.snapshots.push(...found.rows);
        after = found.rows.at(-1)!.seq;
        added = true;
      }
      if (!found.more) break;
    }
    if (!added) return;
    const first = this.snapshots.length === 0 || !this.shownBefore;
    this.shownBefore = true;
    this.snapshots.sort((a, b) => compare(a.clock, b.clock) || a.tick - b.tick);
    if (first) this.tell("stage");
    if (!this.moments.length) this.moments = this.snapshots.map((item) => item.clock);
    this.tell("time");
  }
}

export const store = new Store();

// What agents are coloured by: strategy, group, kind of mind, or whether they speak now.

import { category, variable } from "./colours";
import { store } from "./store";

export type Colouring = "strategy" | "group" | "kind";

export interface Legend {
  label: string;
  colour: string;
  count: number;
}

const KINDS = ["language", "learner or strategy"];

export function colourings(): Colouring[] {
  const stage = store.stage;
  const found: Colouring[] = [];
  if (stage?.groups.some((group) => group.types.length > 1)) found.push("strategy");
  found.push("group");
  if (stage && new Set(stage.groups.map((group) => group.text)).size > 1) found.push("kind");
  return found;
}

/** Names of all categories of a colouring, in order. */
export function categories(by: Colouring): string[] {
  const stage = store.stage;
  if (by === "kind") return KINDS;
  if (by === "strategy" && stage) {
    const many = stage.groups.filter((group) => group.types.length > 0).length > 1;
    return [
      ...new Set(
        stage.groups.flatMap((group) =>
          group.types.length ? group.types.map((name) => name) : many ? [group.name] : [group.name],
        ),
      ),
    ];
  }
  return (stage?.groups ?? store.run.groups).map((group) => group.name);
}

/** For every slot its category, -1 where nobody is there. */
export function categoryOf(by: Colouring): (slot: number) => number {
  const stage = store.stage;
  const names = categories(by);
  const snapshot = store.snapshot;
  if (!stage) {
    const ends: number[] = [];
    let end = 0;
    for (const group of store.run.groups) ends.push((end += Number(group.count) || 0));
    return (slot) => ends.findIndex((stop) => slot < stop);
  }
  const groupOf = new Int32Array(stage.num_slots).fill(-1);
  stage.groups.forEach((group, index) => groupOf.fill(index, group.start, group.stop));
  return (slot) => {
    if (snapshot?.alive && !snapshot.alive[slot]) return -1;
    const index = groupOf[slot] ?? -1;
    const group = stage.groups[index];
    if (!group) return -1;
    if (by === "group") return index;
    if (by === "kind") return group.text ? 0 : 1;
    if (!group.types.length || !snapshot?.types) return names.indexOf(group.name);
    return names.indexOf(group.types[snapshot.types[slot] ?? 0] ?? group.name);
  };
}

export function legend(by: Colouring): Legend[] {
  const of = categoryOf(by);
  const names = categories(by);
  const counts = new Array<number>(names.length).fill(0);
  for (let slot = 0; slot < store.numSlots; slot++) {
    const index = of(slot);
    if (index >= 0) counts[index]!++;
  }
  return names.map((label, index) => ({ label: plain(label), colour: category(index), count: counts[index]! }));
}

export function colourOf(index: number): string {
  return index < 0 ? variable("line") : category(index);
}

export function plain(name: string): string {
  return name.replaceAll("_", " ");
}

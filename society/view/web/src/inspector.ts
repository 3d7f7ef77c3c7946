// One agent: who it is, where it comes from, what it was asked and answered, what it remembers.

import { get, mayWrite, post } from "./api";
import type { Call, Interview, LogRow, Person } from "./api";
import { dot, fill, h } from "./dom";
import type { Child } from "./dom";
import { categories, categoryOf, colourOf, plain } from "./kinds";
import type { Colouring } from "./kinds";
import { compare, lastAt, store } from "./store";
import { momentName, pause } from "./transport";

const MOST_ANSWERS = 12;
const MOST_KIN = 24;

export class Inspector {
  by: Colouring = "group";
  readonly element = h("section", { class: "inspector" });
  private calls = new Map<number, Promise<Call>>();
  private open = new Set<number>();
  private interviews: Interview[] = [];
  private question = h("textarea", { rows: 2, placeholder: "Ask aside. The agent answers from its present mind and forgets.", "aria-label": "Question", maxlength: 2000 });
  private ask = h("button", { type: "button", class: "primary" }, "Ask");
  private key = "";
  private mind: { key: string; parts: Child[] } = { key: "", parts: [] };

  constructor() {
    this.ask.addEventListener("click", () => void this.interview());
    this.question.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey) {
        event.preventDefault();
        void this.interview();
      }
    });
    void this.readInterviews();
  }

  show(force = false): void {
    if (!this.element.isConnected || this.element.hidden) return;
    const uid = store.selected;
    const key = `${uid}/${store.replicate}/${store.clock.join(".")}/${store.logs.calls.length}/${this.mind.key}`;
    if (!force && key === this.key) return;
    this.key = key;
    if (uid === null) fill(this.element, overview());
    else this.person(uid);
  }

  private person(uid: number): void {
    const person = store.people.get(uid);
    const slot = person?.slot ?? [...store.holders()].find(([, held]) => held === uid)?.[0] ?? uid;
    const index = categoryOf(this.by)(slot);
    const group = store.stage?.groups.find((one) => slot >= one.start && slot < one.stop);
    const facts: [string, string][] = [["agent", `#${uid}`], ["slot", String(slot)]];
    if (group) facts.push(["group", plain(group.name)], ["mind", plain(group.policy)]);
    const type = group?.types[store.snapshot?.types?.[slot] ?? -1];
    if (type) facts.push(["strategy", plain(type)]);
    if (person) facts.push(["born", momentName(person.born)]);
    if (person?.died) facts.push(["died", momentName(person.died)]);
    for (const [name, value] of Object.entries(store.stage?.attributes[String(slot)] ?? {})) {
      if (name !== "name") facts.push([plain(name), String(value)]);
    }
    const keep = this.element.scrollTop;
    fill(
      this.element,
      h("header", { class: "person" }, dot(colourOf(index)), h("h2", {}, store.name(uid)), h("button", { type: "button", class: "close", title: "Nobody (Esc)", "aria-label": "Close", on: { click: () => store.select(null) } }, "×")),
      table(facts),
      person?.text ? block("What it was born with", h("p", { class: "said" }, person.text)) : null,
      this.lineage(uid, person),
      this.answers(uid),
      this.memory(uid, slot),
      store.stage?.interviews ? this.interviewing(uid) : null,
    );
    this.element.scrollTop = keep;
  }

  private lineage(uid: number, person: Person | undefined): HTMLElement | null {
    const ancestors: number[] = [];
    for (let one = person; one && one.parents.length && ancestors.length < 12; ) {
      const parent: number = one.parents[0]!;
      ancestors.unshift(parent);
      one = store.people.get(parent);
    }
    const others = person?.parents.slice(1) ?? [];
    const children = store.children.get(uid) ?? [];
    if (!ancestors.length && !children.length) return null;
    const chip = (one: number) =>
      h("button", { type: "button", class: "kin", on: { click: () => store.select(one) } }, store.name(one));
    const line: Child[] = ancestors.flatMap((one) => [chip(one), h("span", { class: "arrow" }, "→")]);
    return block(
      "Lineage",
      h("div", { class: "kinship" }, ...line, h("strong", {}, store.name(uid))),
      others.length ? h("div", { class: "kinship" }, "also from ", ...others.map(chip)) : null,
      children.length
        ? h("div", { class: "kinship" }, `${children.length} ${children.length === 1 ? "heir" : "heirs"}: `, ...children.slice(0, MOST_KIN).map(chip), children.length > MOST_KIN ? `and ${children.length - MOST_KIN} more` : null)
        : null,
    );
  }

  private answers(uid: number): HTMLElement | null {
    const rows = store.logs.calls;
    const end = lastAt(rows, store.clock, (row) => row.clock) + 1;
    const own: LogRow[] = [];
    for (let i = end - 1; i >= 0 && own.length < MOST_ANSWERS; i--) if (rows[i]!.uid === uid) own.push(rows[i]!);
    if (!own.length) return null;
    return block("Asked and answered", ...own.map((row) => this.answer(row)));
  }

  private answer(row: LogRow): HTMLElement {
    const now = compare(row.clock, store.clock) === 0;
    const summary = h(
      "summary",
      {},
      h("span", { class: "meta" }, `${momentName(row.clock)} · ${plain(row.purpose ?? "")}`),
      h("span", { class: "text" }, row.text),
    );
    const body = h("div", { class: "call" });
    const details = h("details", { class: now ? "answer now" : "answer" }, summary, body);
    const load = async (): Promise<void> => {
      if (!this.calls.has(row.row)) this.calls.set(row.row, get<Call>("call", { row: row.row }));
      fill(body, ...callParts(await this.calls.get(row.row)!));
    };
    if (this.open.has(row.row)) {
      details.open = true;
      void load();
    }
    details.addEventListener("toggle", () => {
      if (details.open) {
        this.open.add(row.row);
        void load();
      } else this.open.delete(row.row);
    });
    return details;
  }

  private memory(uid: number, slot: number): HTMLElement | null {
    const snapshot = store.snapshot;
    const group = store.stage?.groups.find((one) => slot >= one.start && slot < one.stop);
    if (!snapshot || !group?.text) return null;
    const key = `${snapshot.seq}/${uid}`;
    if (this.mind.key !== key) {
      this.mind = { key, parts: this.mind.parts };
      void get<{ mind: unknown }>("mind", { replicate: store.replicate, seq: snapshot.seq, slot }).then(
        ({ mind }) => {
          if (this.mind.key !== key) return;
          this.mind.parts = mind === null ? [] : [tree(mind)];
          this.show(true);
        },
        () => undefined,
      );
    }
    return this.mind.parts.length ? block(`Mind at ${momentName(snapshot.clock)}`, ...this.mind.parts) : null;
  }

  // ---- interviews ----------------------------------------------------------------------

  private interviewing(uid: number): HTMLElement {
    const own = this.interviews.filter((one) => one.uid === uid).slice(-6).reverse();
    this.question.disabled = this.ask.disabled = !mayWrite;
    return block(
      "Interview",
      h("div", { class: "ask" }, this.question, this.ask),
      mayWrite ? null : h("p", { class: "note" }, "Open the address that society view printed: it holds the token that asking needs."),
      ...own.map((one) =>
        h(
          "div",
          { class: `interview ${one.status}` },
          h("p", { class: "meta" }, momentName(one.clock)),
          h("p", { class: "question" }, one.question),
          h("p", { class: "said" }, one.status === "asking" ? (one.note || "…") : (one.answer ?? one.note)),
        ),
      ),
    );
  }

  private async interview(): Promise<void> {
    const question = this.question.value.trim();
    if (!question || store.selected === null || !mayWrite) return;
    pause();
    try {
      await post("interview", { replicate: store.replicate, uid: store.selected, clock: store.clock, question });
      this.question.value = "";
    } catch (error) {
      this.question.value = question;
      alertLine(this.element, String((error as Error).message));
    }
    await this.readInterviews();
  }

  private async readInterviews(): Promise<void> {
    const found = await get<{ interviews: Interview[] }>("interviews", { replicate: store.replicate }).catch(() => null);
    if (found) this.interviews = found.interviews;
    this.show(true);
    if (this.interviews.some((one) => one.status === "asking")) setTimeout(() => void this.readInterviews(), 700);
  }
}

function alertLine(element: HTMLElement, text: string): void {
  element.append(h("p", { class: "problem", role: "alert" }, text));
}

function overview(): HTMLElement {
  const groups = store.stage?.groups ?? [];
  const names = categories("group");
  return h(
    "div",
    { class: "nobody" },
    h("p", { class: "lead" }, store.run.about || plain(store.run.name)),
    h("p", { class: "hint" }, "Choose somebody in the picture to see who it is, what it was asked and answered, and where it comes from."),
    h(
      "ul",
      { class: "groups" },
      ...names.map((name, index) => {
        const group = groups[index];
        const policy = group?.policy ?? store.run.groups[index]?.policy ?? "";
        const count = group ? group.stop - group.start : store.run.groups[index]?.count;
        return h("li", {}, dot(colourOf(index)), h("strong", {}, plain(name)), ` ${count ?? ""} · ${plain(policy)}`);
      }),
    ),
  );
}

function callParts(call: Call): Child[] {
  const facts = [
    call.model || call.backend,
    `${call.prompt_tokens} + ${call.completion_tokens} tokens`,
    call.latency_s >= 0.0005 ? `${call.latency_s.toFixed(2)} s` : "",
    call.faults ? `${call.faults} faults` : "",
    call.cached ? "from the cache" : "",
  ].filter(Boolean);
  return [
    ...call.prompt.map(([role, text]) => h("div", { class: `turn ${role === "system" ? "system" : "user"}` }, h("span", { class: "role" }, role), h("pre", {}, text))),
    call.options ? h("div", { class: "options" }, ...call.options.map((option) => h("span", { class: option === call.answer ? "option chosen" : "option" }, option))) : null,
    h("div", { class: "turn answer" }, h("span", { class: "role" }, "answer"), h("pre", {}, call.answer)),
    h("p", { class: "meta" }, facts.join(" · ")),
  ];
}

function table(facts: [string, string][]): HTMLElement {
  return h("dl", { class: "facts" }, ...facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

export function block(title: string, ...children: Child[]): HTMLElement {
  return h("section", { class: "block" }, h("h3", {}, title), ...children);
}

/** Plain values as nested lists; long ones are cut by the server. */
function tree(value: unknown): HTMLElement {
  if (value !== null && typeof value === "object") {
    const entries = Array.isArray(value) ? value.map((item, index) => [String(index + 1), item] as const) : Object.entries(value);
    const filled = entries.filter(([, item]) => item !== "" && item !== null && !(Array.isArray(item) && !item.length));
    return h("dl", { class: "tree" }, ...filled.map(([name, item]) => h("div", {}, h("dt", {}, plain(name)), h("dd", {}, tree(item)))));
  }
  return h("span", {}, String(value));
}

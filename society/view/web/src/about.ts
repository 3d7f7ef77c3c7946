// The run itself: question, state, results, costs, versions, and the scenario in full.

import { number } from "./charts";
import { fill, h } from "./dom";
import { block } from "./inspector";
import { plain } from "./kinds";
import { store } from "./store";

export class About {
  readonly element = h("section", { class: "about" });

  show(): void {
    if (!this.element.isConnected || this.element.hidden) return;
    const { run, state } = store;
    const facts: [string, string][] = [
      ["status", state.status + (state.reason ? `: ${state.reason}` : "")],
      ["folder", run.folder],
      ["seeds", run.seeds.length > 8 ? `${run.seeds.length} seeds` : run.seeds.join(", ")],
      ["world", plain(String(run.world.use ?? ""))],
    ];
    if (run.graph) facts.push(["graph", plain(String(run.graph.use ?? ""))]);
    if (state.rows.calls) {
      facts.push(["model calls", state.rows.calls.toLocaleString("en")], ["tokens", state.tokens.toLocaleString("en")]);
      if (state.cost_usd) facts.push(["cost", `$${state.cost_usd.toFixed(4)}`]);
      if (state.faults) facts.push(["faults", String(state.faults)]);
    }
    if (state.wall_s !== null) facts.push(["took", `${state.wall_s.toFixed(1)} s`]);
    facts.push(["societylab", run.versions.societylab ?? "?"], ["commit", run.commit ? run.commit.id.slice(0, 10) + (run.commit.changed ? " (changed)" : "") : "none"]);
    const measures = state.measures ?? [];
    fill(
      this.element,
      h("p", { class: "lead" }, run.about || plain(run.name)),
      h("dl", { class: "facts wide" }, ...facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
      measures.length
        ? block(
            "Results",
            h(
              "table",
              {},
              ...measures.map((one) =>
                h("tr", {}, h("th", { scope: "row" }, plain(one.name)), h("td", {}, number(one.mean)), h("td", { class: "interval" }, one.ci95 ? `${number(one.ci95[0])} to ${number(one.ci95[1])}` : "")),
              ),
            ),
          )
        : null,
      state.trace?.note ? block("Picture of the agents", h("p", {}, state.trace.note)) : null,
      block("Scenario", h("pre", { class: "yaml" }, run.scenario)),
    );
  }
}

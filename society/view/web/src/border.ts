// A disc with a thin rim: paper-coloured at rest, darker when chosen.

import { createNodeBorderProgram } from "@sigma/node-border";

export default createNodeBorderProgram({
  borders: [
    { size: { value: 0.16 }, color: { attribute: "borderColor", defaultValue: "#ffffff" } },
    { size: { fill: true }, color: { attribute: "color" } },
  ],
});

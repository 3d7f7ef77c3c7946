// Colours by meaning, in both themes. Categories keep their order, so a strategy keeps its colour.

const LIGHT = ["#3d6ea8", "#c8553d", "#3f8460", "#c9952a", "#7a5195", "#2c8c99", "#b5527e", "#7c6a4e", "#6f7d2f", "#596080"];
const DARK = ["#7da7dc", "#e8846c", "#74bd97", "#e2b758", "#b18ccd", "#63bcc8", "#dd89b1", "#b5a07c", "#a9b85f", "#98a0c4"];

const dark = matchMedia("(prefers-color-scheme: dark)");

export function isDark(): boolean {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : dark.matches;
}

export function onTheme(react: () => void): void {
  dark.addEventListener("change", react);
}

export function category(index: number): string {
  const palette = isDark() ? DARK : LIGHT;
  return palette[((index % palette.length) + palette.length) % palette.length]!;
}

const known = new Map<string, string>();

/** Drop what was read of the style sheet, after the theme has changed. */
export function forgetColours(): void {
  known.clear();
}

export function variable(name: string): string {
  let value = known.get(name);
  if (value === undefined) {
    value = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
    if (/^#[0-9a-f]{3}$/i.test(value)) value = value.replace(/[0-9a-f]/gi, "$&$&");
    known.set(name, value);
  }
  return value;
}

export function faded(colour: string, share: number): string {
  const alpha = Math.round(Math.min(Math.max(share, 0), 1) * 255);
  return `${colour.slice(0, 7)}${alpha.toString(16).padStart(2, "0")}`;
}

/** A colour between two, both "#rrggbb"; share 0 gives the first. */
export function mixed(a: string, b: string, share: number): string {
  const part = (at: number) => {
    const from = parseInt(a.slice(at, at + 2), 16);
    const to = parseInt(b.slice(at, at + 2), 16);
    return Math.round(from + (to - from) * share)
      .toString(16)
      .padStart(2, "0");
  };
  return `#${part(1)}${part(3)}${part(5)}`;
}

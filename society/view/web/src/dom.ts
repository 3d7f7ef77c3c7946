// Elements are made here and nowhere else. Texts become text nodes: no markup is ever parsed.

export type Child = Node | string | number | null | undefined | false;

type Properties = Record<string, unknown> & { class?: string; on?: Record<string, EventListener> };

export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Properties = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") element.className = String(value);
    else if (name === "on") {
      for (const [event, listener] of Object.entries(value as Record<string, EventListener>)) {
        element.addEventListener(event, listener);
      }
    } else if (value === true) element.setAttribute(name, "");
    else element.setAttribute(name, String(value));
  }
  fill(element, ...children);
  return element;
}

export function fill(element: Element, ...children: Child[]): void {
  const nodes = children.filter((child) => child !== null && child !== undefined && child !== false);
  element.replaceChildren(...nodes.map((child) => (child instanceof Node ? child : String(child))));
}

export function dot(colour: string): HTMLElement {
  const element = h("span", { class: "dot" });
  element.style.backgroundColor = colour;
  return element;
}

export function onSize(element: Element, react: () => void): void {
  new ResizeObserver(react).observe(element);
}

/** The colours and faces of a canvas: those of the tokens. */
const NAMES = ["ink", "ink-2", "ink-3", "line", "surface", "queue", "model", "tool", "failed"] as const;

export type PlotColours = Readonly<Record<(typeof NAMES)[number], string>> & { readonly font: string };

/** Returns the tokens as they are at an element now. */
export function plotColours(element: Element): PlotColours {
  const style = getComputedStyle(element);
  const colours = Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  return { ...(colours as Record<(typeof NAMES)[number], string>), font: `11px ${style.fontFamily}` };
}

/** The colours and faces of a canvas: those of the tokens. */
const NAMES = ["ink", "ink-2", "ink-3", "line", "surface", "queue", "model", "tool", "failed"] as const;

export type PlotColours = Readonly<Record<(typeof NAMES)[number], string>> & { readonly font: string };

const known = new Map<string, PlotColours>();

/** Returns the colours of the theme that is shown. @param theme its name */
export function plotColours(theme: string): PlotColours {
  const colours = known.get(theme) ?? readColours();
  known.set(theme, colours);
  return colours;
}

function readColours(): PlotColours {
  const style = getComputedStyle(document.body);
  const colours = Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  return { ...(colours as Record<(typeof NAMES)[number], string>), font: `11px ${style.fontFamily}` };
}

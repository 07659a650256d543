/** The pages that are measured, and what a hand does there. */
import type { Gesture } from "./frames.ts";
import type { Place } from "./open-page.ts";
import type { StoredSystem } from "./stored-system.ts";

export interface Scene {
  readonly name: string;
  readonly place: Place;
  /** Whether there is a bound for its frames. */
  readonly hasFrameBound: boolean;
  /** By their names, in this order. */
  readonly gestures: Readonly<Record<string, Gesture>>;
}

/** So many notches in one direction, then as many back. */
const TURN_AFTER = 40;
const NOTCH_PX = 100;

const isForth = (number: number) => number % (2 * TURN_AFTER) < TURN_AFTER;
const scroll = (selector: string, direction: 1 | -1 = 1): Gesture => ({
  selector,
  notch: () => ({ y: direction * NOTCH_PX }),
});
const forthAndBack = (selector: string): Gesture => ({
  selector,
  notch: (number) => ({ y: isForth(number) ? NOTCH_PX : -NOTCH_PX }),
});
/** Zooms in and out, and ends nearer than it began, so that there is something to move. */
const zoom = (selector: string): Gesture => ({
  selector,
  notch: (number) => ({ y: number % 20 < 11 ? -NOTCH_PX : NOTCH_PX }),
});
const pan = (selector: string): Gesture => ({ selector, notch: (number) => ({ x: isForth(number) ? 60 : -60 }) });

const WATERFALL = ".wf-tree";
const TIMELINE = ".tl-lanes";

export function scenesOf({ valet, sessionId, trace }: StoredSystem): readonly Scene[] {
  const { url } = valet.connection;
  const session = `${url}/sessions/${sessionId}`;
  return [
    {
      name: "trace",
      hasFrameBound: true,
      place: { url: `${session}/traces/${trace.traceId}`, rows: ".wf-rows > .wf-row" },
      gestures: {
        "waterfall, scroll": scroll(WATERFALL),
        "waterfall, zoom": { ...zoom(WATERFALL), key: "Control" },
        "waterfall, pan": pan(WATERFALL),
      },
    },
    {
      name: "session",
      hasFrameBound: true,
      place: { url: session, rows: ".talk-rows > li" },
      gestures: {
        "conversation, scroll": scroll(".talk-scroll", -1),
        "timeline, zoom": zoom(TIMELINE),
        "timeline, pan": pan(TIMELINE),
      },
    },
    {
      name: "inbox",
      hasFrameBound: false,
      place: { url, rows: "[data-session]" },
      gestures: { "inbox, scroll": forthAndBack("main") },
    },
  ];
}

/** The same on a page with nothing on it: it scrolls where the others zoom and move. */
export function emptyScene(url: string, { name, gestures, hasFrameBound }: Scene): Scene {
  const scrolls = Object.keys(gestures).map((gesture) => [gesture, forthAndBack("#list")]);
  return { name, hasFrameBound, place: { url, rows: "#list" }, gestures: Object.fromEntries(scrolls) };
}

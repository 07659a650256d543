/** The measures of turns: their words, where the API has them, and how they are written. Pure. */
import type { Schemas } from "../../api/client.ts";
import { formatDuration } from "../../format/duration.ts";
import { formatMoney } from "../../format/figures.ts";
import type { BarColour } from "../../plots/histogram.tsx";
import { DURATION_TICKS, MONEY_TICKS, type Ticks } from "../../plots/log-axes.ts";
import type { IconName } from "../../ui/icons.tsx";
import type { MeasureName } from "./turns-search.ts";

type Turn = Schemas["TurnRecord"];

export interface MeasureLook {
  readonly name: MeasureName;
  readonly title: string;
  /** The statistic of the API. */
  readonly key: keyof Schemas["TurnGroup"]["measures"];
  readonly icon: IconName | undefined;
  readonly iconHue: string;
  readonly colour: BarColour;
  readonly ticks: Ticks;
  readonly text: (value: number | null | undefined) => string;
  /** Returns the value of one turn; `null` if it is not known. */
  readonly value: (turn: Turn) => number | null;
}

const duration = (ms: number | null | undefined) => formatDuration(ms);
const money = (usd: number | null | undefined) => formatMoney(usd);

export const MEASURE_LOOKS: readonly MeasureLook[] = [
  {
    name: "wait",
    title: "Wait in the queue",
    key: "queue_wait_ms",
    icon: "queue",
    iconHue: "t-queue",
    colour: "queue",
    ticks: DURATION_TICKS,
    text: duration,
    value: (turn) => turn.queue_wait_ms,
  },
  {
    name: "first_token",
    title: "First token",
    key: "time_to_first_token_ms",
    icon: "model",
    iconHue: "t-model",
    colour: "model",
    ticks: DURATION_TICKS,
    text: duration,
    value: (turn) => turn.time_to_first_token_ms,
  },
  {
    name: "duration",
    title: "Duration of a turn",
    key: "turn_ms",
    icon: undefined,
    iconHue: "",
    colour: "ink-3",
    ticks: DURATION_TICKS,
    text: duration,
    value: (turn) => turn.turn_ms,
  },
  {
    name: "cost",
    title: "Cost of a turn",
    key: "cost_usd",
    icon: undefined,
    iconHue: "",
    colour: "ink-3",
    ticks: MONEY_TICKS,
    text: money,
    value: (turn) => turn.cost_usd,
  },
];

/** Returns a measure by its name. */
export function measureOf(name: MeasureName): MeasureLook {
  return MEASURE_LOOKS.find((look) => look.name === name) ?? (MEASURE_LOOKS[2] as MeasureLook);
}

/**
 * Returns whether a value is above the 90th percentile of the turns that are shown. What is not known is not.
 * @param bound how far the percentile may be from the exact one, as a part of it: within that, nobody can tell
 */
export function isHigh(value: number | null, p90: number | null | undefined, bound: number): boolean {
  return value !== null && p90 !== null && p90 !== undefined && value > p90 * (1 + bound);
}

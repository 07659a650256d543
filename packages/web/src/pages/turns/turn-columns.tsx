/** The columns of the table of turns. */

import { Link } from "@tanstack/react-router";
import { createColumnHelper, tableFeatures } from "@tanstack/react-table";
import { lacksCost } from "@valet/shared/protocol/cost";
import type { Schemas } from "../../api/client.ts";
import { UNKNOWN } from "../../format/duration.ts";
import { repositoryName, shortSessionId } from "../../format/session-names.ts";
import { Time } from "../../ui/age.tsx";
import { Duration, Money, Tokens } from "../../ui/figure.tsx";
import { OutsideText } from "../../ui/outside-text.tsx";
import { isHigh, MEASURE_LOOKS } from "./measures.ts";
import { OutcomeMark } from "./outcome-mark.tsx";
import { turnLink } from "./turn-link.ts";
import type { MeasureName } from "./turns-search.ts";

export interface TurnRow {
  /** The attempt's id. */
  readonly id: string;
  readonly turn: Schemas["TurnRecord"];
  /** The session's title, if it is known and has one. */
  readonly title: string | undefined;
  /** The measures that are above the 90th percentile of the turns that are shown. */
  readonly high: readonly MeasureName[];
}

/** @param stats of all turns that the filters leave */
export function rowOf(
  turn: Schemas["TurnRecord"],
  title: string | undefined,
  stats: Schemas["TurnStats"] | undefined,
): TurnRow {
  const high = MEASURE_LOOKS.filter(({ key, value }) =>
    isHigh(value(turn), stats?.total.measures[key].p90, stats?.error_bound ?? 0),
  );
  return { id: turn.attempt_id, turn, title, high: high.map(({ name }) => name) };
}

export const features = tableFeatures({});
const helper = createColumnHelper<typeof features, TurnRow>();

export const columns = helper.columns([
  helper.display({ id: "time", header: "Ended", cell: ({ row }) => <Time at={row.original.turn.ended_at} /> }),
  helper.display({ id: "session", header: "Session", cell: ({ row }) => <SessionCell row={row.original} /> }),
  helper.display({
    id: "repository",
    header: "Repository",
    cell: ({ row }) => <Text text={repositoryName(row.original.turn.repository)} />,
  }),
  helper.display({ id: "user", header: "Person", cell: ({ row }) => <Text text={row.original.turn.user_id} /> }),
  helper.display({
    id: "model",
    header: "Model",
    cell: ({ row }) => <Text text={shortModel(row.original.turn.model)} />,
  }),
  helper.display({
    id: "wait",
    header: "Wait",
    cell: ({ row }) => (
      <High row={row.original} measure="wait">
        <Duration ms={row.original.turn.queue_wait_ms} />
      </High>
    ),
  }),
  helper.display({
    id: "first_token",
    header: "First token",
    cell: ({ row }) => (
      <High row={row.original} measure="first_token">
        <Duration ms={row.original.turn.time_to_first_token_ms} />
      </High>
    ),
  }),
  helper.display({
    id: "duration",
    header: "Duration",
    cell: ({ row }) => (
      <High row={row.original} measure="duration">
        <Duration ms={row.original.turn.turn_ms} />
      </High>
    ),
  }),
  helper.display({
    id: "cost",
    header: "Cost",
    cell: ({ row }) => (
      <High row={row.original} measure="cost">
        <Money usd={row.original.turn.cost_usd} isPartial={lacksCost(row.original.turn)} />
      </High>
    ),
  }),
  helper.display({
    id: "tokens",
    header: "Tokens",
    cell: ({ row }) => <Tokens count={tokensOf(row.original.turn)} />,
  }),
  helper.display({ id: "outcome", header: "Outcome", cell: ({ row }) => <OutcomeMark turn={row.original.turn} /> }),
]);

/** The columns of figures: their texts stand at the right. */
export const FIGURES: readonly string[] = ["wait", "first_token", "duration", "cost", "tokens"];

function SessionCell({ row: { turn, title } }: { readonly row: TurnRow }) {
  const more = [repositoryName(turn.repository), turn.user_id, shortModel(turn.model)].filter((each) => each != null);
  return (
    <>
      <Link {...turnLink(turn)} className="cut" data-row-link>
        <OutsideText text={title ?? shortSessionId(turn.session_id)} max={300} />
      </Link>
      <span className="turn-more cut">
        <OutsideText text={more.join(" · ")} max={300} />
      </span>
    </>
  );
}

function Text({ text }: { readonly text: string | null | undefined }) {
  if (text === null || text === undefined) return <span className="m">{UNKNOWN}</span>;
  return <OutsideText text={text} max={200} />;
}

function High(props: { readonly row: TurnRow; readonly measure: MeasureName; readonly children: React.ReactNode }) {
  if (!props.row.high.includes(props.measure)) return props.children;
  return (
    <b className="turn-high" title="above p90">
      <span aria-hidden="true">▲</span>
      <span className="sr">above p90: </span>
      {props.children}
    </b>
  );
}

/** The provider's name says little in a narrow column. */
function shortModel(model: string | null): string | null {
  return model === null ? null : model.slice(model.indexOf("/") + 1);
}

/** What the API sorts by as `tokens`. */
function tokensOf({ tokens_input, tokens_output }: Schemas["TurnRecord"]): number | null {
  return tokens_input === null || tokens_output === null ? null : tokens_input + tokens_output;
}

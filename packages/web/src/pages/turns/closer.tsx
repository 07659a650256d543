/** One measure looked at closely: a point a turn, or the turns in groups. */
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useMemo } from "react";
import type { Schemas } from "../../api/client.ts";
import { daysOf } from "../../format/days.ts";
import { formatTime } from "../../format/figures.ts";
import { shortSessionId } from "../../format/session-names.ts";
import { PercentileLines } from "../../plots/percentile-lines.tsx";
import { TurnPoints } from "../../plots/turn-points.tsx";
import { Button } from "../../ui/button.tsx";
import { Icon } from "../../ui/icons.tsx";
import { Menu, MenuChoice, MenuLine, type MenuTrigger } from "../../ui/menu.tsx";
import { ErrorNote, Loading } from "../../ui/notes.tsx";
import { Groups } from "./groups.tsx";
import { type MeasureLook, measureOf } from "./measures.ts";
import { outcomeWord } from "./outcome-word.ts";
import type { TurnRow } from "./turn-columns.tsx";
import { turnLink } from "./turn-link.ts";
import { statsQuery } from "./turns-queries.ts";
import { GROUPINGS, type Grouping, type TurnsSearch } from "./turns-search.ts";

const HEIGHT = 168;

interface CloserProps {
  readonly search: TurnsSearch;
  /** The rows of the table. */
  readonly turns: readonly TurnRow[];
  readonly total: Schemas["TurnGroup"];
  readonly onChange: (search: TurnsSearch) => void;
}

export function Closer({ search, turns, total, onChange }: CloserProps) {
  const look = measureOf(search.of ?? "duration");
  const { by } = search;
  return (
    <section className="turns-closer" aria-label={`${look.title}, looked at closely`}>
      <div className="turns-closer-head">
        <h2>{look.title}</h2>
        <span className="small m2">
          {by === undefined
            ? `each turn of the table (${turns.length}); dashed: p90 of all. A point leads to its trace.`
            : `by ${wordOf(by)}`}
        </span>
        <span className="grow" />
        <GroupMenu search={search} onChange={onChange} />
      </div>
      {by === undefined ? (
        <Points look={look} turns={turns} p90={total.measures[look.key].p90} />
      ) : (
        <Grouped look={look} by={by} search={search} />
      )}
    </section>
  );
}

function wordOf(by: Grouping): string {
  return by === "user" ? "person" : by;
}

function GroupMenu({ search, onChange }: Pick<CloserProps, "search" | "onChange">) {
  const { by, ...rest } = search;
  const button = (own: MenuTrigger) => (
    <Button aria-pressed={by !== undefined} {...own}>
      Group by: {by === undefined ? "none" : wordOf(by)}
      <Icon name="down" />
    </Button>
  );
  return (
    <Menu trigger={button}>
      <MenuChoice isChosen={by === undefined} onSelect={() => onChange(rest)}>
        none
      </MenuChoice>
      <MenuLine />
      {GROUPINGS.map((each) => (
        <MenuChoice key={each} isChosen={each === by} onSelect={() => onChange({ ...rest, by: each })}>
          {wordOf(each)}
        </MenuChoice>
      ))}
    </Menu>
  );
}

function Points(props: {
  readonly look: MeasureLook;
  readonly turns: readonly TurnRow[];
  readonly p90: number | null;
}) {
  const { look, turns, p90 } = props;
  const navigate = useNavigate();
  const ordered = useMemo(() => [...turns].sort((a, b) => a.turn.ended_at.localeCompare(b.turn.ended_at)), [turns]);
  const points = useMemo(
    () =>
      ordered.map(({ turn }) => ({
        endedMs: Date.parse(turn.ended_at),
        value: look.value(turn),
        state:
          turn.outcome === "error"
            ? ("failed" as const)
            : turn.outcome === "lost"
              ? ("lost" as const)
              : ("ok" as const),
      })),
    [ordered, look],
  );
  const words = (index: number) => {
    const row = ordered[index];
    if (row === undefined) return "";
    const { turn, title } = row;
    const when = formatTime(new Date(turn.ended_at), new Date());
    const what = [look.text(look.value(turn)), outcomeWord(turn), when];
    return [...what, title ?? shortSessionId(turn.session_id)].join(" · ");
  };
  const choose = (index: number) => {
    const turn = ordered[index]?.turn;
    if (turn === undefined) return;
    void navigate(turnLink(turn));
  };
  return (
    <TurnPoints
      label={`${look.title} of the ${points.length} turns in the table below, over time`}
      height={HEIGHT}
      points={points}
      ticks={look.ticks}
      text={look.text}
      p90={p90}
      wordsOf={words}
      onChoose={choose}
    />
  );
}

function Grouped(props: { readonly look: MeasureLook; readonly by: Grouping; readonly search: TurnsSearch }) {
  const { look, by, search } = props;
  const { data, error, isError, refetch } = useQuery(statsQuery(search, by));
  if (data === undefined || data.by[0] !== by) {
    return isError ? (
      <div className="p-4">
        <ErrorNote what="The groups could not be read." error={error} onRetry={() => void refetch()} />
      </div>
    ) : (
      <div className="px-4">
        <Loading what="the groups" rows={5} />
      </div>
    );
  }
  return (
    <>
      {by === "day" && <Days stats={data} look={look} />}
      <Groups stats={data} by={by} look={look} search={search} />
    </>
  );
}

function Days({ stats, look }: { readonly stats: Schemas["TurnStats"]; readonly look: MeasureLook }) {
  const days = useMemo(() => {
    const of = new Map(stats.groups.map(({ keys, measures }) => [keys.day, measures[look.key]]));
    return daysOf(stats.from, stats.to).map((day) => {
      const { p50 = null, p90 = null, p99 = null } = of.get(day) ?? {};
      return { dayMs: Date.parse(day), p50, p90, p99 };
    });
  }, [stats, look]);
  return (
    <PercentileLines
      label={`${look.title} by day: p50, p90 and p99; the figures are in the table below`}
      height={HEIGHT}
      days={days}
      ticks={look.ticks}
      text={look.text}
    />
  );
}

/** The turns in groups: a line each, with the percentiles of one measure as figures and on one axis. */
import { Link } from "@tanstack/react-router";
import { isLowerBound } from "@valet/shared/protocol/cost";
import type { Schemas } from "../../api/client.ts";
import { dayText } from "../../format/days.ts";
import { formatCount, formatMoney } from "../../format/figures.ts";
import { OutsideText } from "../../ui/outside-text.tsx";
import { spanOf } from "./group-span.ts";
import type { MeasureLook } from "./measures.ts";
import { failedOf } from "./stats-words.ts";
import { shownValue } from "./turns-bar.tsx";
import { type Grouping, searchOfDay, type TurnsSearch } from "./turns-search.ts";

interface GroupsProps {
  readonly stats: Schemas["TurnStats"];
  readonly by: Grouping;
  readonly look: MeasureLook;
  readonly search: TurnsSearch;
}

const NONE: Readonly<Record<Grouping, string>> = {
  day: "no day",
  model: "no model answered",
  user: "no person",
  repository: "no repository",
  branch: "the default branch",
  channel: "no channel",
  outcome: "no outcome",
  error: "no error",
  tool: "no tool",
};

export function Groups({ stats, by, look, search }: GroupsProps) {
  const { groups, groups_left_out } = stats;
  const distributions = groups.map(({ measures }) => measures[look.key]);
  return (
    <>
      <table className="turns-groups">
        <caption className="sr">
          {look.title} by {by}: percentiles
        </caption>
        <thead>
          <tr>
            <th scope="col">{by === "user" ? "person" : by === "day" ? "day, UTC" : by}</th>
            <th scope="col" className="n">
              turns
            </th>
            <th scope="col" className="n">
              failed
            </th>
            <th scope="col" className="n">
              p50
            </th>
            <th scope="col" className="n">
              p90
            </th>
            <th scope="col" className="n">
              p99
            </th>
            <th scope="col" className="group-span">
              p50 to p99, logarithmic
            </th>
            <th scope="col" className="n">
              cost
            </th>
          </tr>
        </thead>
        <tbody>
          {groups.map((group) => {
            const value = group.keys[by] ?? null;
            const measure = group.measures[look.key];
            const failed = failedOf(group.outcomes);
            const cost = group.measures.cost_usd;
            return (
              <tr key={value ?? ""}>
                <th scope="row">
                  <GroupName by={by} value={value} search={search} start={stats.from} />
                </th>
                <td className="n">{formatCount(group.turns)}</td>
                <td className={`n${failed > 0 ? " t-failed" : " m"}`}>{formatCount(failed)}</td>
                <td className="n">{look.text(measure.p50)}</td>
                <td className="n">{look.text(measure.p90)}</td>
                <td className="n">{look.text(measure.p99)}</td>
                <td className="group-span">
                  <SpanMark span={spanOf(measure, distributions)} colour={look.colour} />
                </td>
                <td className="n">{formatMoney(cost.sum, isLowerBound(cost, group.turns))}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
      {by === "tool" && (
        <p className="small m2 px-4 py-1">
          A turn counts in each tool that it used. Turns without tools, and those from before tools were recorded, are
          in no group.
        </p>
      )}
      {groups_left_out !== undefined && (
        <p className="small m2 px-4 py-1">{formatCount(groups_left_out)} groups with fewer turns are left out.</p>
      )}
    </>
  );
}

/** A group's name leads to its turns. */
function GroupName(props: {
  readonly by: Grouping;
  readonly value: string | null;
  readonly search: TurnsSearch;
  /** Of the period. */
  readonly start: string;
}) {
  const { by, value, search, start } = props;
  if (value === null) return <span className="m2">{NONE[by]}</span>;
  const next: TurnsSearch = by === "day" ? searchOfDay(search, value, start) : { ...search, [by]: value };
  return (
    <Link to="/turns" search={next} className="cut" title="show only these turns">
      <OutsideText text={by === "day" ? dayText(value) : shownValue(by, value)} max={200} />
    </Link>
  );
}

/** From p50 to p90 thick, on to p99 thin. */
function SpanMark({ span, colour }: { readonly span: ReturnType<typeof spanOf>; readonly colour: string }) {
  if (span === undefined) return null;
  return (
    <span className={`span-mark of-${colour}`} aria-hidden="true">
      <i className="is-thin" style={{ left: `${span.p50}%`, width: `${span.p99 - span.p50}%` }} />
      <i style={{ left: `${span.p50}%`, width: `max(3px, ${span.p90 - span.p50}%)` }} />
    </span>
  );
}

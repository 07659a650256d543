/** One session in the inbox: what it is, what it needs or does, its last hour, since when, its cost. */
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { isLowerBound } from "@valet/shared/protocol/cost";
import { memo } from "react";
import type { Schemas } from "../../api/client.ts";
import { nowQuery } from "../../api/sessions.ts";
import { costsQuery, lastHourQuery } from "../../api/turns.ts";
import { repositoryName, sessionTitle } from "../../format/session-names.ts";
import { withKeys } from "../../format/with-keys.ts";
import { Age, useNow } from "../../ui/age.tsx";
import { Money } from "../../ui/figure.tsx";
import { KIND_LOOKS } from "../../ui/kind.tsx";
import { OutsideText, Sentence } from "../../ui/outside-text.tsx";
import { type State, StateIcon, shownState } from "../../ui/state.tsx";
import { stripBars, stripText } from "./hour-strip.ts";
import { type InboxRow, restText } from "./inbox-groups.ts";
import { Needs } from "./needs.tsx";

type NowView = Schemas["NowView"];

/** Drawn again only when the row itself has changed: rows come and go as the window moves. */
export const SessionRow = memo(function SessionRow({ row }: { readonly row: InboxRow }) {
  // Only rows near the window exist, so only they ask what their sessions do.
  const now = useQuery({ ...nowQuery(row.id), enabled: row.group !== "rest" }).data;
  const { id, group, title, verdict, session } = row;
  return (
    <div className={`inbox-row${group === "needs" ? "" : " is-thin"}`} data-session={id}>
      <StateIcon state={stateOf(row, now)} {...hueOf(now)} />
      <span className="min-w-0">
        <span className="title">
          <Link to="/sessions/$sessionId" params={{ sessionId: id }} className="cut" data-row-link>
            <OutsideText text={sessionTitle({ id, title })} max={300} />
          </Link>
        </span>
        {group === "needs" && <Meta row={row} />}
      </span>
      <div className="say">
        {verdict !== undefined ? (
          <Needs row={row} verdict={verdict} now={now} />
        ) : (
          <p>
            <Sentence
              text={now?.verdict.why ?? (session === undefined || group === "running" ? "" : restText(session))}
            />
          </p>
        )}
      </div>
      <HourStrip sessionId={id} now={now} />
      <span className="n m2 small age">
        <Age since={verdict?.since ?? now?.verdict.since ?? session?.updatedAt ?? ""} />
      </span>
      <Cost sessionId={id} now={now} />
    </div>
  );
});

function Meta({ row: { repoUrl, branch, session } }: { readonly row: InboxRow }) {
  const parts = [repositoryName(repoUrl), branch ?? undefined, session?.userId].filter((part) => part !== undefined);
  return (
    <span className="meta cut">
      {withKeys(parts, (part) => part).map(({ key, item }, index) => (
        <span key={key}>
          {index > 0 && " · "}
          <OutsideText text={item} max={200} />
        </span>
      ))}
    </span>
  );
}

function stateOf({ verdict, group, session }: InboxRow, now: NowView | undefined): State {
  if (verdict !== undefined) return verdict.state;
  const doing = now?.verdict.state ?? (group === "running" ? "working" : "idle");
  return shownState(doing, session?.status);
}

/** The hue of work is that of the step that runs. */
function hueOf(now: NowView | undefined): { hue?: string } {
  if (now?.verdict.state !== "working" && now?.verdict.state !== "quiet") return {};
  const kind = now.running[0]?.steps[0]?.kind;
  return kind === "tool" || kind === "command" ? { hue: "t-tool" } : kind === "retry" ? { hue: "t-retry" } : {};
}

/** Less than a pixel of an hour's strip. */
const STEP_MS = 20_000;

function HourStrip({ sessionId, now }: { readonly sessionId: string; readonly now: NowView | undefined }) {
  const nowMs = useNow(STEP_MS);
  const { data } = useQuery(lastHourQuery);
  const turns = (data?.turns ?? []).filter(({ session_id }) => session_id === sessionId);
  const running = now?.running ?? [];
  const failed = turns.filter(({ outcome }) => outcome === "error" || outcome === "lost").length;
  return (
    <span className="strip" role="img" aria-label={stripText(turns.length, failed, running.length)}>
      {stripBars(turns, running, nowMs).map(({ key, kind, left, width, hasFailed }) => (
        <i
          key={key}
          className={`bar ${KIND_LOOKS[kind].bar}${hasFailed ? " failed" : ""}`}
          style={{ left: `${left}%`, width: `max(2px, calc(${width}% - 1px))` }}
        />
      ))}
    </span>
  );
}

function Cost({ sessionId, now }: { readonly sessionId: string; readonly now: NowView | undefined }) {
  const { data } = useQuery(costsQuery);
  const week = data?.get(sessionId);
  const isPartial = week !== undefined && isLowerBound(week, week.turns);
  return (
    <span className="n small cost">
      {now === undefined ? (
        <Money usd={week?.sum} isPartial={isPartial} />
      ) : (
        <Money usd={now.cost_usd} isPartial={now.isCostPartial} />
      )}
    </span>
  );
}

/**
 * The timeline beside the conversation. Where there is room for one of them only, a strip shows the whole session, and leads from one to
 * the other: `data-tab` of the pane says which one is to be seen.
 */
import "./timeline.css";
import { useEffect, useMemo, useRef } from "react";
import { formatTime } from "../format/figures.ts";
import { useNow } from "../ui/age.tsx";
import { Segments } from "../ui/button.tsx";
import { useIsNarrow } from "../ui/use-is-narrow.ts";
import { useWidth } from "../ui/use-width.ts";
import { Minimap } from "./minimap.tsx";
import { type Model, stretchesOf } from "./model.ts";
import { selectedPlace } from "./places.ts";
import { Timeline, type TimelineProps } from "./timeline.tsx";
import type { TimelineData } from "./use-timeline.ts";
import { useWanted } from "./use-wanted.ts";
import { viewOf } from "./view.ts";

type Tab = "conversation" | "timeline";

interface TimelinePaneProps extends TimelineProps {
  readonly data: TimelineData;
  /** What is to be seen where there is room for one only. */
  readonly tab: Tab;
  readonly onTab: (tab: Tab) => void;
}

export function TimelinePane({ tab, onTab, data, ...props }: TimelinePaneProps) {
  const isNarrow = useIsNarrow();
  useResolved(data.model, props);
  return (
    <div className="time" data-tab={tab}>
      {isNarrow && (
        <div className="tl-strip">
          <Segments
            label="View"
            value={tab}
            options={[
              ["conversation", "Conversation"],
              ["timeline", "Timeline"],
            ]}
            onChange={onTab}
          />
          {tab === "conversation" && data.model !== undefined && (
            <Strip data={data} model={data.model} trace={props.selection.trace} />
          )}
        </div>
      )}
      {(!isNarrow || tab === "timeline") && <Timeline {...props} data={data} />}
    </div>
  );
}

/** Finds the message of a span or a trace that a link selects without it, so that it is selected in the conversation, too. */
function useResolved(model: Model | undefined, { selection, onSelect }: TimelineProps): void {
  useEffect(() => {
    const { message, span, trace } = selection;
    if (message !== undefined || (span === undefined && trace === undefined) || model === undefined) return;
    const found = selectedPlace(model.lanes, selection)?.item.messageId;
    if (found !== undefined) onSelect({ ...selection, message: found });
  });
}

interface StripProps {
  readonly data: TimelineData;
  readonly model: Model;
  /** The trace of what is selected. */
  readonly trace: string | undefined;
}

/** The whole session on one line, with its ends and what is folded. */
function Strip({ data, model, trace }: StripProps) {
  const nowMs = useNow();
  const box = useRef<HTMLDivElement>(null);
  const width = useWidth(box);
  const stretches = useMemo(() => stretchesOf(model, nowMs), [model, nowMs]);
  const view = useMemo(() => viewOf(stretches, undefined, Math.max(1, width)), [stretches, width]);
  useWanted(data, view, nowMs, trace);
  const folded = stretches.filter(({ isFolded }) => isFolded).length;
  return (
    <div ref={box}>
      <Minimap model={model} view={view} nowMs={nowMs} width={Math.max(1, width)} height={30} />
      <p className="tl-ends">
        <span>{formatTime(new Date(model.startMs), new Date(nowMs))}</span>
        {folded > 0 && <span>{folded === 1 ? "1 gap folded" : `${folded} gaps folded`}</span>}
        <span>now</span>
      </p>
    </div>
  );
}

import { memo } from "react";
import type { Selection } from "../app/selection.ts";
import { GapRow } from "./gap-row.tsx";
import { EndLine, JobHead, LostAttempt, NowLine, Said } from "./job-rows.tsx";
import { LifeHead, RestRow } from "./life-rows.tsx";
import { PartRow } from "./part-row.tsx";
import { ClosedRow, PermissionRow, QuestionRow } from "./request-rows.tsx";
import { isSameRow, type Row } from "./rows.ts";
import { StepRow } from "./step-row.tsx";

interface RowViewProps {
  readonly row: Row;
  readonly sessionId: string;
  readonly selection: Selection;
  readonly isFirstRequest: boolean;
  readonly events: RowEvents;
}

/** What a person does with a row. The same object for all renders, so that a row is drawn again only when it has changed. */
export interface RowEvents {
  onFold(jobId: string, isOpen: boolean): void;
  /** @param key of the life */
  onFoldLife(key: string, isOpen: boolean): void;
  onSelectSpan(jobId: string, span: string | undefined): void;
  onReadOutput(jobId: string): void;
  /** Reads on after a message. */
  onReadGap(jobId: string): void;
}

/** One row, by its kind. */
export const RowView = memo(function RowView({ row, sessionId, selection, isFirstRequest, events }: RowViewProps) {
  switch (row.kind) {
    case "head":
      return (
        <JobHead
          job={row.job}
          turns={row.turns}
          isOpen={row.isOpen}
          isSelected={selection.message === row.jobId}
          onToggle={() => events.onFold(row.jobId, !row.isOpen)}
        />
      );
    case "life":
      return <LifeHead {...row} onToggle={() => events.onFoldLife(row.jobId, !row.isOpen)} />;
    case "rest":
      return <RestRow {...row} />;
    case "said":
      return <Said message={row.message} />;
    case "attempt":
      return <LostAttempt turn={row.turn} />;
    case "part": {
      const { part } = row;
      const isSelected = part.type === "tool" && part.spanId !== undefined && part.spanId === selection.span;
      return (
        <PartRow
          part={part}
          isLive={row.isLive}
          isSelected={isSelected}
          onSelect={(span) => events.onSelectSpan(row.jobId, span)}
        />
      );
    }
    case "step":
      return <StepRow step={row.step} parts={row.parts} onOpen={() => events.onReadOutput(row.jobId)} />;
    case "permission":
      return <PermissionRow sessionId={sessionId} request={row.request} hasKeys={isFirstRequest} />;
    case "question":
      return <QuestionRow sessionId={sessionId} request={row.request} hasKeys={isFirstRequest} />;
    case "closed":
      return <ClosedRow request={row.request} />;
    case "gap":
      return <GapRow state={row.state} onRead={() => events.onReadGap(row.jobId)} />;
    case "now":
      return <NowLine sessionId={sessionId} job={row.job} isWriting={row.isWriting} />;
    case "end":
      return <EndLine sessionId={sessionId} job={row.job} turns={row.turns} />;
  }
}, isSameView);

function isSameView(before: RowViewProps, after: RowViewProps): boolean {
  return (
    isSameRow(before.row, after.row) &&
    before.sessionId === after.sessionId &&
    before.selection === after.selection &&
    before.isFirstRequest === after.isFirstRequest &&
    before.events === after.events
  );
}

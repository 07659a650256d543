/** Composes how a session's object exports its spans: when it hands them over, and what the session shows of an export that is late. */
import type { Changes } from "./core/changes.ts";
import type { SessionState } from "./core/session-state.ts";
import type { Timers } from "./core/timers.ts";
import type { Transactions } from "./core/transactions.ts";
import type { TraceExport } from "./traces/trace-export.ts";
import type { TraceStore } from "./traces/trace-store.ts";

export interface ExportOptions {
  readonly state: SessionState;
  readonly traces: TraceStore;
  readonly exporter: TraceExport;
  readonly timers: Timers;
  readonly transactions: Transactions;
  readonly changes: Changes;
  /** Continues the session's deletion, which waits for the export. */
  readonly advanceDeletion: () => void;
  readonly report: (error: unknown) => void;
}

export function composeExport(options: ExportOptions) {
  const { state, traces, exporter, timers, transactions, changes, advanceDeletion, report } = options;
  /** Records a change of the session when its spans begin or cease to be late. */
  const recordExportProblem = () => {
    if (state.maybe === undefined || !exporter.hasProblemChanged) return;
    transactions.run(() => {
      exporter.noteShown();
      changes.session();
    });
  };
  return {
    /** Passes the recorded spans to the export. Called where the object may go idle next. */
    boundary: () => {
      traces.fold((segmentId) => exporter.isSettled(segmentId), exporter.isConfigured);
    },
    recordExportProblem,
    /** Exports the spans that are due. Never rejects. */
    runExport: async () => {
      try {
        await exporter.start();
        recordExportProblem();
        if (state.maybe?.deletion !== undefined) transactions.run(advanceDeletion);
        timers.arm();
      } catch (error) {
        report(error);
      }
    },
  };
}

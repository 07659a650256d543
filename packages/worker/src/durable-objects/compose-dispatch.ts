/** Composes how a session's object gives work to its runner: what is sent when, what watches over it, and what its end leads to. */
import { BATCH_LIMITS } from "./core/limits.ts";
import { Attempts, type AttemptsOptions } from "./dispatch/attempts.ts";
import { CapacityAnswers, type CapacityAnswersOptions } from "./dispatch/capacity-answers.ts";
import { Scheduler, type SchedulerOptions } from "./dispatch/scheduler.ts";
import { SignsOfLife, type SignsOfLifeOptions } from "./dispatch/signs-of-life.ts";
import { Watchdogs, type WatchdogsOptions } from "./dispatch/watchdogs.ts";

export type DispatchOptions = Omit<SignsOfLifeOptions, "work"> &
  Omit<WatchdogsOptions, "intervals"> &
  Omit<AttemptsOptions, "watchdogs" | "signs" | "intervals"> &
  Omit<SchedulerOptions, "line" | "watchdogs" | "signs" | "limits" | "intervals"> &
  Omit<CapacityAnswersOptions, "scheduler" | "lease"> & {
    readonly lease: CapacityAnswersOptions["lease"] & SchedulerOptions["line"];
    readonly intervals: (WatchdogsOptions & AttemptsOptions & SchedulerOptions)["intervals"] & {
      readonly collectMaxMs: number;
    };
  };

export function composeDispatch(options: DispatchOptions) {
  const { queue, lease, intervals } = options;
  const signs = new SignsOfLife({ ...options, work: queue });
  const watchdogs = new Watchdogs(options);
  const attempts = new Attempts({ ...options, watchdogs, signs });
  const limits = { ...BATCH_LIMITS, collectMaxMs: intervals.collectMaxMs };
  const scheduler = new Scheduler({ ...options, line: lease, watchdogs, signs, limits });
  const capacityAnswers = new CapacityAnswers({ ...options, scheduler });
  return { signs, watchdogs, attempts, scheduler, capacityAnswers };
}

/** The look at the verdict, by itself: what D1 is asked may outlast the session. */
import { SAMPLE_FACTS, T0 } from "@valet/shared/answers/verdict/sample-facts";
import { expect, test } from "vitest";
import { Attention } from "./attention.ts";

test("a session that is deleted while D1 is asked what is usual: its background work reports that, and does not reject", async () => {
  const deleted = new Error("the database has been deleted");
  const answered = Promise.withResolvers<void>();
  const reported: unknown[] = [];
  const work: Promise<void>[] = [];
  let isDeleted = false;
  const attention = new Attention({
    facts: () => {
      if (isDeleted) throw deleted;
      return SAMPLE_FACTS;
    },
    typical: { isIncomplete: true, load: () => answered.promise },
    projectedKey: () => "",
    changed: () => {},
    background: (each) => {
      work.push(each);
    },
    now: () => T0,
    report: (error) => {
      reported.push(error);
    },
  });
  attention.check();
  isDeleted = true;
  answered.resolve();
  expect(work).toHaveLength(1);
  await expect(Promise.all(work)).resolves.toEqual([undefined]);
  expect(reported).toEqual([deleted]);
});

/** Lets the first request of a job run beside the health check of OpenCode, instead of after it. */
import { OpenCodeError } from "./client.ts";

/**
 * Waits for the answer to a request, which was sent to an OpenCode that may hang.
 * @param hangs whether it does, once that is known. It has ended then. Never rejects
 * @param again makes the request of another OpenCode
 * @throws the error of the request. One without an answer may be the first sign that OpenCode hangs, so it waits for the check
 */
export async function answerOf<T>(asked: Promise<T>, hangs: Promise<boolean>, again: () => Promise<T>): Promise<T> {
  const checked = hangs.then((isHung) => (isHung ? again() : asked));
  // The answer may come first.
  checked.catch(() => undefined);
  const answered = asked.catch((error: unknown) => {
    const isAnswer = error instanceof OpenCodeError && error.status !== undefined;
    return isAnswer ? asked : checked;
  });
  return Promise.race([answered, checked]);
}

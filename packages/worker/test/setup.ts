/** Creates the database's tables before each test file, and checks the spans of each test's sessions after it. */
import { afterEach, inject } from "vitest";
import { whenDeleted } from "../src/database/deleted-sessions.ts";
import { migrate } from "../src/database/setup.ts";
import { bindings } from "./bindings.ts";
import { expectCatalogued } from "./catalogue.ts";
import { TestSession } from "./session.ts";

// Only the scripted broker and the backend beside it can be reached: repositories' hosts and the models' endpoint are away.
const { fetch } = globalThis;
globalThis.fetch = (input, init) =>
  new Request(input, init).url.startsWith(inject("broker"))
    ? fetch(input, init)
    : Promise.resolve(new Response(null, { status: 502 }));

await migrate(bindings.DB, bindings.MIGRATIONS);

afterEach(async () => {
  for (const session of TestSession.takeCreated()) {
    // Nothing is left of a deleted session.
    if ((await whenDeleted(bindings.DB, session.id)) !== undefined) continue;
    expectCatalogued(session.id, await session.spans());
  }
});

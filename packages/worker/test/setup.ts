/** Creates the database's tables before each test file, and checks the spans of each test's sessions after it. */
import { afterEach } from "vitest";
import { migrate } from "../src/database/setup.ts";
import { bindings } from "./bindings.ts";
import { expectCatalogued } from "./catalogue.ts";
import { TestSession } from "./session.ts";

await migrate(bindings.DB, bindings.MIGRATIONS);

afterEach(async () => {
  for (const session of TestSession.takeCreated()) expectCatalogued(session.id, await session.spans());
});

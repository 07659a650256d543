/** Stands for messages between others that are not read yet. */
import { Button } from "../ui/button.tsx";
import type { Gap } from "./gaps.ts";

export function GapRow({ state, onRead }: { readonly state: Gap["state"]; readonly onRead: () => void }) {
  return (
    <p className="talk-gap small m2">
      {state === "failed"
        ? "The messages that follow could not be read."
        : "The messages that follow are not read yet."}
      <Button look="quiet" isBusy={state === "loading"} onClick={onRead}>
        {state === "failed" ? "Try again" : "Read on"}
      </Button>
    </p>
  );
}

/** The list of keys: what the page shows now can be done with them. */
import { useSyncExternalStore } from "react";
import { Dialog } from "../ui/dialog.tsx";
import { allActions } from "./actions.ts";
import { shownKeys } from "./keys.ts";
import { setSingleKeys, useSingleKeys } from "./preferences.ts";

export default function KeyList({ onClose }: { readonly onClose: () => void }) {
  const registered = useSyncExternalStore(allActions.subscribe, allActions.read);
  const areOn = useSingleKeys();
  const withKeys = registered.filter(({ keys }) => keys.length > 0);
  const groups = Map.groupBy(withKeys, ({ action }) => action.group);
  return (
    <Dialog isOpen onClose={onClose} title="Keys" isWide>
      <label className="flex min-h-6 items-center gap-2">
        <input type="checkbox" checked={areOn} onChange={(event) => setSingleKeys(event.target.checked)} />
        Single keys work (they never do while you write)
      </label>
      <div className="mt-3 grid gap-x-8 gap-y-4 wide:grid-cols-2">
        {[...groups].toReversed().map(([group, entries]) => (
          <section key={group}>
            <h3 className="mb-1">{group}</h3>
            <ul>
              {entries.map(({ action, keys }) => (
                <li key={action.label} className="flex min-h-6 items-center gap-3 border-t border-line py-0.5">
                  <span className="grow">
                    {action.label}
                    {action.asksTwice === true && <span className="m"> (twice)</span>}
                  </span>
                  {shownKeys(keys).map((key) => (
                    <kbd key={key} className="block!">
                      {key}
                    </kbd>
                  ))}
                </li>
              ))}
            </ul>
          </section>
        ))}
      </div>
    </Dialog>
  );
}

import { useSyncExternalStore } from "react";
import { IconButton } from "../ui/button.tsx";
import { Icon } from "../ui/icons.tsx";
import { OutsideText } from "../ui/outside-text.tsx";
import { announcements, dismiss } from "./announce.ts";

/** Reads announcements out, politely, and shows those that are to be seen. Once on the page. */
export function Announcer() {
  const all = useSyncExternalStore(announcements.subscribe, announcements.read);
  return (
    <>
      <div className="sr" aria-live="polite">
        {all.map(({ id, text }) => (
          <p key={id}>{text}</p>
        ))}
      </div>
      <section className="toasts" aria-label="Messages">
        {all
          .filter(({ isShown }) => isShown)
          .map(({ id, text, isBad }) => (
            <div key={id} className={`notice${isBad ? " bad" : ""}`}>
              {isBad && <Icon name="failed" className="t-failed" />}
              <OutsideText text={text} className="grow" />
              <IconButton icon="close" label="Close the message" onClick={() => dismiss(id)} />
            </div>
          ))}
      </section>
    </>
  );
}

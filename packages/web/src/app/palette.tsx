/** The command palette: jump to a session, or do what the page can do now. */
import { useInfiniteQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { Command } from "cmdk";
import { type RefObject, useEffect, useState, useSyncExternalStore } from "react";
import { sessionsQuery } from "../api/sessions.ts";
import { repositoryName, sessionTitle } from "../format/session-names.ts";
import { Dialog } from "../ui/dialog.tsx";
import { Kbd } from "../ui/kbd.tsx";
import { OutsideText } from "../ui/outside-text.tsx";
import { allActions } from "./actions.ts";
import { shownKey } from "./keys.ts";

/** The most sessions that are offered; who looks for another one searches in the inbox. */
const MAX_SESSIONS = 200;

interface PaletteProps {
  /** What was typed before it was loaded; it is taken from there. */
  readonly typed: RefObject<string>;
  readonly onClose: () => void;
}

export default function Palette({ typed, onClose }: PaletteProps) {
  const [text, setText] = useState(() => typed.current);
  useEffect(() => {
    typed.current = "";
  }, [typed]);
  const navigate = useNavigate();
  const registered = useSyncExternalStore(allActions.subscribe, allActions.read);
  const { data } = useInfiniteQuery({ ...sessionsQuery, refetchInterval: false });
  const sessions = (data?.pages ?? []).flatMap((page) => page.sessions).slice(0, MAX_SESSIONS);
  const choose = (run: () => unknown) => () => {
    onClose();
    // After the dialog has given the focus back, so that the action can take it.
    setTimeout(run);
  };
  return (
    <Dialog isOpen onClose={onClose} title="Search or jump to…">
      <Command loop label="Search or jump to…">
        <Command.Input
          className="field w-full"
          placeholder="A session, a page, something to do"
          autoFocus
          value={text}
          onValueChange={setText}
        />
        <Command.List className="palette-list">
          <Command.Empty className="menu-label">Nothing matches.</Command.Empty>
          <Command.Group heading="To do here">
            {registered
              .filter(({ action }) => action.isKeyOnly !== true && action.applies?.() !== false)
              .map(({ action, keys }) => (
                <Command.Item
                  key={`${action.group} ${action.label}`}
                  className="menu-item"
                  value={`${action.label} ${action.group}`}
                  onSelect={choose(() => action.run())}
                >
                  <span className="grow">{action.label}</span>
                  {keys[0] !== undefined && <Kbd keys={shownKey(keys[0])} />}
                </Command.Item>
              ))}
          </Command.Group>
          <Command.Group heading="Sessions">
            {sessions.map((session) => (
              <Command.Item
                key={session.id}
                className="menu-item"
                value={`${session.id} ${session.title ?? ""} ${session.repoUrl ?? ""} ${session.branch ?? ""}`.slice(
                  0,
                  500,
                )}
                onSelect={choose(() => navigate({ to: "/sessions/$sessionId", params: { sessionId: session.id } }))}
              >
                <OutsideText text={sessionTitle(session)} className="grow cut" max={200} />
                <OutsideText text={repositoryName(session.repoUrl) ?? ""} className="m small cut" max={100} />
              </Command.Item>
            ))}
          </Command.Group>
        </Command.List>
      </Command>
    </Dialog>
  );
}

/** The frame of every page: header, state of the connection, the page itself, announcements. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, Outlet, useLocation, useNavigate } from "@tanstack/react-router";
import { lazy, type RefObject, Suspense, useEffect, useLayoutEffect, useRef, useState } from "react";
import { attentionQuery } from "../api/attention.ts";
import { signOut } from "../api/page-session.ts";
import { errorSentence } from "../api/problem.ts";
import { forgetDrafts } from "../conversation/use-draft.ts";
import { Button } from "../ui/button.tsx";
import { Icon } from "../ui/icons.tsx";
import { Kbd } from "../ui/kbd.tsx";
import { loadMenus } from "../ui/menu.tsx";
import { handleKey, keepComposition, useActions } from "./actions.ts";
import { announce } from "./announce.ts";
import { Announcer } from "./announcer.tsx";
import { ConnectionBanner, ConnectionMark } from "./connection-mark.tsx";
import { EarlyTyping } from "./early-typing.tsx";
import { forgetKept } from "./kept.ts";
import { NAVIGATION } from "./navigation.ts";
import { ThemeButton } from "./theme-button.tsx";
import { useKeptFocus } from "./use-kept-focus.ts";
import { useWhenIdle } from "./use-when-idle.ts";

// None is needed for the first paint: they are loaded once the page has nothing else to do, or when a person opens them.
const loadPalette = () => import("./palette.tsx");
const loadKeyList = () => import("./key-list.tsx");
const Palette = lazy(loadPalette);
const KeyList = lazy(loadKeyList);
const loadTips = () => import("../ui/tip-layer.tsx");
const TipLayer = lazy(async () => ({ default: (await loadTips()).TipLayer }));

type Overlay = "palette" | "keys" | undefined;

export function Shell() {
  const [overlay, setOverlay] = useState<Overlay>();
  const main = useRef<HTMLElement>(null);
  const typed = useRef("");
  const navigate = useNavigate();
  useFocusOnNavigation(main);
  useKeptFocus(main);
  const [hasTips, setTips] = useState(false);
  useWhenIdle(async () => {
    await loadTips();
    setTips(true);
    await Promise.all([loadMenus(), loadPalette(), loadKeyList()]);
  });
  useLayoutEffect(() => {
    window.addEventListener("keydown", keepComposition, { capture: true });
    document.addEventListener("keydown", handleKey);
    return () => {
      window.removeEventListener("keydown", keepComposition, { capture: true });
      document.removeEventListener("keydown", handleKey);
    };
  }, []);
  useActions([
    {
      label: "Search or jump to…",
      group: "Everywhere",
      keys: "Ctrl+K",
      isKeyOnly: true,
      run: () => setOverlay("palette"),
    },
    { label: "Show the keys", group: "Everywhere", keys: "?", run: () => setOverlay("keys") },
    { label: "Go to the inbox", group: "Everywhere", keys: "Shift+I", run: () => void navigate({ to: "/" }) },
    { label: "Sign out", group: "Everywhere", run: () => void leave() },
  ]);
  const queryClient = useQueryClient();
  const leave = async () => {
    // The server may end the sign-in although its answer is late or lost. Then the next read opens the sign-in page.
    forgetDrafts();
    try {
      await signOut();
    } catch (error) {
      // What they say of a draft is no longer true.
      queryClient.getMutationCache().clear();
      announce(`Your drafts were removed. You may still be signed in. ${errorSentence(error)}`, { isBad: true });
      return;
    }
    queryClient.clear();
    forgetKept("view");
    // What was written meanwhile.
    forgetDrafts();
    await navigate({ to: "/sign-in" });
  };
  const isSigningIn = useLocation({ select: ({ pathname }) => pathname === "/sign-in" });
  const close = () => setOverlay(undefined);
  const noteTyped = (text: string) => {
    typed.current = text;
  };
  return (
    <div className="shell">
      <div className="shell-top">
        <a className="btn skip" href="#main">
          Skip to the content
        </a>
        <header className="top">
          <Link className="brand" to="/" aria-label="Valet: to the inbox">
            <svg
              viewBox="0 0 18 18"
              aria-hidden="true"
              fill="none"
              stroke="currentColor"
              strokeWidth="2"
              strokeLinecap="square"
            >
              <path d="M2 4h9M5 9h11M8 14h5" />
            </svg>
            <span>Valet</span>
          </Link>
          {isSigningIn ? null : <Navigation />}
          <span className="grow" />
          {!isSigningIn && (
            <>
              <Button
                className="jump"
                onClick={() => setOverlay("palette")}
                aria-label="Search or jump to… Ctrl K"
                aria-keyshortcuts="Control+K"
              >
                <Icon name="search" />
                <span>Search or jump to…</span>
                <Kbd keys="Ctrl K" />
              </Button>
              <ConnectionMark />
            </>
          )}
          <Button
            look="quiet"
            className="sq keys"
            aria-label="Keys"
            aria-keyshortcuts="?"
            onClick={() => setOverlay("keys")}
          >
            <Kbd keys="?" />
          </Button>
          <ThemeButton />
        </header>
      </div>
      <ConnectionBanner />
      <main id="main" ref={main} tabIndex={-1}>
        <Outlet />
      </main>
      <Announcer />
      <Suspense fallback={overlay === "palette" ? <EarlyTyping onText={noteTyped} onClose={close} /> : null}>
        {overlay === "palette" && <Palette typed={typed} onClose={close} />}
        {overlay === "keys" && <KeyList onClose={close} />}
      </Suspense>
      <Suspense fallback={null}>{hasTips && <TipLayer />}</Suspense>
    </div>
  );
}

function Navigation() {
  const { data } = useQuery(attentionQuery);
  const waiting = data?.items.length ?? 0;
  return (
    <nav aria-label="Main">
      {NAVIGATION.map(({ to, text }) => (
        <Link key={to} to={to} activeOptions={{ exact: true, includeSearch: false }}>
          {text}
          {to === "/" && waiting > 0 && (
            <b>
              {data?.nextCursor === undefined ? waiting : `${waiting}+`}
              <span className="sr"> need you</span>
            </b>
          )}
        </Link>
      ))}
    </nav>
  );
}

/** Moves the focus to a new page, so that keyboard and screen reader start there. Changes of filters are no new page. */
function useFocusOnNavigation(main: RefObject<HTMLElement | null>): void {
  const pathname = useLocation({ select: (location) => location.pathname });
  const last = useRef(pathname);
  useEffect(() => {
    if (last.current === pathname) return;
    last.current = pathname;
    // Whoever writes in the palette stays there; it gives the focus to the page when it is closed.
    if (document.querySelector('[role="dialog"]') !== null) return;
    main.current?.focus({ preventScroll: true });
  }, [pathname, main]);
}

import { useEffect, useRef } from "preact/hooks";

/** Keys that do something while no field is being typed into. */
export function useKeys(keys: Record<string, () => unknown>): void {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    const pressed = (e: KeyboardEvent) => {
      const target = e.target as HTMLElement;
      if (target.matches("input:not([type=range]):not([type=checkbox]), select, textarea") || (e.key === "Enter" && target.matches("button"))) return;
      const undoes = (e.ctrlKey || e.metaKey) && e.key.toLowerCase() === "z";
      if (((e.ctrlKey || e.metaKey) && !undoes) || e.altKey) return;
      const key = e.key.length === 1 ? e.key.toLowerCase() : e.key;
      const does = latest.current[e.shiftKey && `shift+${key}` in latest.current ? `shift+${key}` : key];
      if (!does) return;
      e.preventDefault();
      does();
    };
    window.addEventListener("keydown", pressed);
    return () => window.removeEventListener("keydown", pressed);
  }, []);
}

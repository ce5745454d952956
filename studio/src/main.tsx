import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { type SetAnswer, read } from "./api";
import { Editor } from "./editor";
import { Grid } from "./grid";
import "./style.css";

function App() {
  const [set, setSet] = useState<SetAnswer | null>(null);
  const [told, setTold] = useState("");
  const [at, setAt] = useState(place());
  const [last, setLast] = useState(0);
  const load = () => read<SetAnswer>("set").then(setSet, (error: Error) => setTold(error.message));

  useEffect(() => {
    void load();
    const moved = () => setAt(place());
    window.addEventListener("hashchange", moved);
    return () => window.removeEventListener("hashchange", moved);
  }, []);

  if (!set) return <p role="status">{told || "Opening …"}</p>;
  const open = (n: number) => {
    setLast(n);
    window.location.hash = `#/${n}`;
  };
  if (at === null || at >= set.images.length) return <Grid set={set} last={last} open={open} />;
  const close = () => {
    setLast(at);
    void load();
    window.location.hash = "";
  };
  return <Editor key={at} set={set} number={at} open={open} close={close} reload={load} />;
}

/** The number of the image in the page's address. */
function place(): number | null {
  const found = /^#\/(\d+)$/.exec(window.location.hash);
  return found ? Number(found[1]) : null;
}

render(<App />, document.getElementById("app")!);

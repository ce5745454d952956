import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { type SetAnswer, imageInfo, read } from "./api";
import { Editor } from "./editor";
import { Grid } from "./grid";
import { PlayPage } from "./play";
import { ReportPage } from "./report";
import { useQueue } from "./review";
import { ReviewPage } from "./reviewpage";
import "./style.css";

type Place = { page: "grid" | "review" | "report" } | { page: "image" | "play"; number: number } | { page: "finding"; id: string };

function App() {
  const [set, setSet] = useState<SetAnswer | null>(null);
  const [told, setTold] = useState("");
  const [at, setAt] = useState(placeOf());
  const [last, setLast] = useState(0);
  const queue = useQueue(at.page === "review" || at.page === "finding");
  const load = () => read<SetAnswer>("set").then(setSet, (error: Error) => setTold(error.message));

  useEffect(() => {
    void load();
    const moved = () => setAt(placeOf());
    window.addEventListener("hashchange", moved);
    return () => window.removeEventListener("hashchange", moved);
  }, []);

  if (!set) return <p role="status">{told || "Opening …"}</p>;
  const open = (n: number) => {
    setLast(n);
    go(`/${n}`);
  };
  const close = () => {
    void load();
    go("");
  };
  const finding = at.page === "finding" ? queue.answer?.findings.find((f) => f.id === at.id) : undefined;
  const number = at.page === "image" ? at.number : finding?.image;
  if (at.page === "report") return <ReportPage set={set} open={open} close={close} />;
  if (at.page === "play") return <PlayPage set={set} number={Math.min(at.number, set.images.length - 1)} edit={open} close={close} />;
  if (typeof number === "number" && number < set.images.length) {
    const review = finding && { finding, queue, open: (id: string) => go(`/review/${id}`), list: () => go("/review") };
    return <Editor key={number} {...{ set, number, open, review }} close={close} reload={load} />;
  }
  if (at.page === "review" || at.page === "finding") return <ReviewPage {...{ set, queue }} open={(id) => go(`/review/${id}`)} close={close} />;
  return <Grid set={set} last={last} open={open} />;
}

function go(place: string): void {
  window.location.hash = place && `#${place}`;
}

/** What the page's address names. */
function placeOf(): Place {
  const [first, second] = window.location.hash.replace(/^#\//, "").split("/");
  if (/^\d+$/.test(first)) return { page: "image", number: Number(first) };
  if (first === "play") return { page: "play", number: Number(second) || 0 };
  if (first === "review" && second) return { page: "finding", id: second };
  return { page: first === "review" || first === "report" ? first : "grid" };
}

// the server reads the picture while the page is still asking for the set
const first = placeOf();
if (first.page === "image") void imageInfo(first.number).catch(() => undefined);
render(<App />, document.getElementById("app")!);

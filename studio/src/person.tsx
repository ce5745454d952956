import { useState } from "preact/hooks";
import { person } from "./api";

/** Who works here, for the report: a name, if the person likes. */
export function Person() {
  const [name, setName] = useState(person.name);
  return (
    <label class="person">
      Your name{" "}
      <input
        value={name}
        placeholder="optional"
        maxLength={100}
        size={12}
        onInput={(e) => {
          setName(e.currentTarget.value);
          person.name = e.currentTarget.value;
        }}
      />
    </label>
  );
}

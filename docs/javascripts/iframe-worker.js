/* Browsers start no worker for a page that was opened from a folder (file://), so the search would not work there.
   This runs the worker's script in a hidden frame instead. Served pages keep the browser's own Worker. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.waiting = []
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      this.frame.setAttribute("aria-hidden", "true")
      const start = () => {
        document.body.appendChild(this.frame)
        const inner = this.frame.contentWindow
        const page = inner.document
        page.open()
        page.write("<!doctype html><body></body>")
        page.close()
        // the worker's own postMessage answers the page; what it loads further becomes script elements, one after another
        inner.postMessage = data => this.dispatchEvent(new MessageEvent("message", { data }))
        const load = address => new Promise((done, failed) => {
          const script = page.createElement("script")
          script.src = address
          script.onload = done
          script.onerror = failed
          page.body.appendChild(script)
        })
        inner.importScripts = (...addresses) =>
          addresses.reduce((before, address) => before.then(() => load(address)), Promise.resolve())
        load(new URL(url, location.href).href).then(() => {
          this.inner = inner
          this.waiting.splice(0).forEach(data => this.postMessage(data))
        })
      }
      document.body ? start() : addEventListener("DOMContentLoaded", start)
    }

    postMessage(data) {
      if (this.inner) this.inner.dispatchEvent(new MessageEvent("message", { data }))
      else this.waiting.push(data)
    }

    terminate() {
      this.frame.remove()
    }
  }
}

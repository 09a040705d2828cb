"""A headless Chromium and a headscope server for the page's tests: both start fresh, wait with a bound, and end by themselves."""
import json
import os
import re
import selectors
import subprocess
import time

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

FLAGS = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-dev-shm-usage', '--no-first-run',
         '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-default-apps',
         '--disable-extensions', '--force-prefers-reduced-motion', '--force-device-scale-factor=1']


class Server:
    """headscope serve with a cache of its own. `port` 0 takes a free one."""

    def __init__(self, program, cache, port=0, environment=None):
        arguments = [program, 'serve', '--host', '127.0.0.1', '--port', str(port), '--cache', cache]
        self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        env={**os.environ, 'HEADSCOPE_STORES': 'off', **(environment or {})})
        self.address = self._wait_for_address(30)
        self.port = int(self.address.rsplit(':', 1)[1])

    def _wait_for_address(self, seconds):
        said, end = b'', time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while time.monotonic() < end:
                if selector.select(0.2):
                    chunk = os.read(self.process.stdout.fileno(), 65536)
                    said += chunk
                    found = re.search(rb'http://127\.0\.0\.1:(\d+)', said)
                    if found:
                        return found.group(0).decode()
                    if not chunk:
                        break
        self.stop()
        raise AssertionError(f'the server did not say its address: {said.decode(errors="replace")}')

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
        self.process.stdout.close()


class Browser:
    """One Chromium with a fresh profile. expect_errors: console messages (regular expressions) that a test brings about."""

    def __init__(self, width=1440, height=900, dark=False, phone=False):
        options = Options()
        options.binary_location = '/usr/bin/chromium'
        for flag in FLAGS + [f'--window-size={width},{height}']:
            options.add_argument(flag)
        options.set_capability('goog:loggingPrefs', {'browser': 'ALL', 'performance': 'ALL'})
        self.driver = webdriver.Chrome(service=Service('/usr/bin/chromedriver'), options=options)
        self.driver.set_page_load_timeout(30)
        self.driver.set_script_timeout(60)
        self.cdp('Emulation.setDeviceMetricsOverride', width=width, height=height, deviceScaleFactor=2 if phone else 1, mobile=phone)
        self.cdp('Emulation.setEmulatedMedia', features=[
            {'name': 'prefers-color-scheme', 'value': 'dark' if dark else 'light'}, {'name': 'prefers-reduced-motion', 'value': 'reduce'}])
        if phone:
            self.cdp('Emulation.setTouchEmulationEnabled', enabled=True)

    def cdp(self, command, **parameters):
        return self.driver.execute_cdp_cmd(command, parameters)

    def js(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def wait(self, expression, seconds=30):
        """Waits until a JavaScript expression is true; returns its value."""
        end = time.monotonic() + seconds
        while True:
            value = self.js(f'return {expression};')
            if value:
                return value
            if time.monotonic() > end:
                raise AssertionError(f'after {seconds} s still not: {expression}\n{self.state()}')
            time.sleep(0.05)

    def state(self):
        return self.js('return location.href + " | " + document.body.innerText.slice(0, 1500)')

    def messages(self):
        """What the console has said since last asked, from warnings up."""
        return [entry['message'] for entry in self.driver.get_log('browser') if entry['level'] in ('WARNING', 'SEVERE')]

    def addresses(self):
        """Every address that the page has asked for since last asked."""
        found = []
        for entry in self.driver.get_log('performance'):
            message = json.loads(entry['message'])['message']
            if message['method'] == 'Network.requestWillBeSent':
                found.append(message['params']['request']['url'])
        return found

    def quit(self):
        self.driver.quit()

"""The light half of the plugin: imported when somebody asks for a plugin by name, so it imports nothing heavy."""

from fastconv import BackendSpec

BACKEND = BackendSpec(
    name="windows",
    implementation="fastconv_windows_impl:WindowsBackend",
    api=1,
    hint="pip install fastconv-windows",
)

"""Every command of `taxiphone`: a module or package for each noun, named like it.

What they share: console.py (settings, database, printing), lazy.py (groups), options.py (types of options), tables.py,
streams.py, files.py, progress.py, findings.py, call_lookup.py. The generated pages of docs/ come from settings_reference.py,
call_flow_reference.py and cli_reference.py.
"""

"""A private chain with a market on it, for trying things out and for tests.

Devnet     a running chain with token and market     devnet.py, tokens.py
engines    the programs that run it                  engines.py, live_engines.py, guard.py
py-evm     our own chain in this process             evm.py, evm_pool.py, evm_values.py
           its methods, and a server for them        evm_json.py, pyevm_rpc.py, pyevm_server.py
fleet      farmers as processes of their own         fleet.py, child.py; repairers: repairers.py
errors     what can go wrong                         errors.py
ending     Ctrl-C and SIGTERM                        ending.py
command    `grange devnet`                           cli.py
"""

from grange_devnet.devnet import DEVNET_PARAMETERS, Devnet
from grange_devnet.engines import ENGINES, EngineName
from grange_devnet.errors import DevnetError, EngineFailed, EngineMissing, PortTaken

__all__ = [
    "DEVNET_PARAMETERS",
    "ENGINES",
    "Devnet",
    "DevnetError",
    "EngineFailed",
    "EngineMissing",
    "EngineName",
    "PortTaken",
]

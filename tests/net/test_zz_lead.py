import subprocess, json
import gated, netns
from gated import *
from test_cookies import other_xdp, works
def test_zz(net, launch, link):
    one = launch(other_xdp(net, mode="generic"))
    def show():
        d = one.api("/v1/drops")
        print([ (r["reason"], r["count"]) for k,v in d.items() if isinstance(v, list) for r in v if isinstance(r, dict) and r.get("count")])
        c = json.loads(netns.run(["bpftool","-j","map","dump","pinned",str(net.pins)+"/maps/counters"]))
        tot={}
        for x in c[0]["formatted"]["values"]:
            for k,v in x["value"].items(): tot[k]=tot.get(k,0)+v
        print({k:v for k,v in tot.items() if v})
    import socket, time, threading
    sn = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    sn.settimeout(0.6)
    log=[]
    def sniff():
        try:
            while 1:
                f, a = sn.recvfrom(2000)
                if a[1]==0x800 and f[23]==6:
                    t=f[34:]
                    log.append((round(time.time()%100,4), a[2], t[0:2].hex(), t[2:4].hex(), "seq",t[4:8].hex(),"ack",t[8:12].hex(),"fl",hex(t[13]), t[20:(t[12]>>4)*4].hex(), len(f)))
        except TimeoutError: pass
    open("/proc/sys/kernel/bpf_stats_enabled","w").write("1")
    th=threading.Thread(target=sniff); th.start()
    try:
        s = socket.create_connection((net.v4, gated.HTTP))
    except Exception as e: print(repr(e))
    th.join()
    print(netns.run(netns.inside(net.lb, "bpftool", "net")))
    print(netns.run(netns.inside(net.lb, "bpftool", "prog"))[-3000:])
    print(netns.run(netns.inside(net.lb, "nstat", "-a")))
    show()
    assert 0
